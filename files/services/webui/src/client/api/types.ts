/** The REST contract, as the client sees it: a check of each answer, and the type it proves. */

import { type Checked, flag, list, moment, number, object, orNull, text } from "./check";

export const ROLES = ["admin", "maintainer", "viewer"] as const;
export type Role = (typeof ROLES)[number];

/** Of a newer API there may be other roles: who has one may look, as everybody may. */
export const user = object({
  id: number,
  email: text,
  full_name: text,
  role: text,
  is_active: flag,
  created_at: moment,
});
export type User = Checked<typeof user>;

export interface NewUser {
  email: string;
  password: string;
  full_name: string;
  role: Role;
}

export type UserChange = Partial<Omit<NewUser, "role"> & { role: string; is_active: boolean }>;

export const userPage = object({
  users: list(user),
  pagination: object({ page: number, per_page: number, total: number, pages: number }),
});
export type UserPage = Checked<typeof userPage>;

export const grant = object({
  access_token: text,
  refresh_token: text,
  /** Life of the access token (seconds). */
  expires_in: number,
  user,
});
export type Grant = Checked<typeof grant>;

const program = object({
  id: number,
  name: text,
  /** The kernel's digest of the instructions (hex). */
  tag: text,
});

const attachment = { name: text, mode: text, program };
export type Attachment = Checked<ReturnType<typeof object<typeof attachment>>>;

const problem = object({
  /** Null where the problem is nobody's alone. */
  interface: orNull(text),
  /** One word, e.g. "detached"; see the gRPC contract for all. */
  state: text,
  /** What is wrong and what to do. */
  problem: text,
});
export type Problem = Checked<typeof problem>;

export const dataplaneStatus = object({
  reachable: flag,
  status: text,
  interfaces: list(object(attachment)),
  problems: list(problem),
});
export type DataplaneStatus = Checked<typeof dataplaneStatus>;

/** The verdicts that have a place on the pages; the kernel, or a newer API, may have others. */
export const VERDICTS = ["pass", "drop", "tx", "redirect", "aborted"] as const;
export type Verdict = (typeof VERDICTS)[number];

export const isVerdict = (verdict: string): verdict is Verdict => (VERDICTS as readonly string[]).includes(verdict);

const counter = object({ verdict: text, reason: text, packets: number, bytes: number });
export type Counter = Checked<typeof counter>;

export const dataplaneStats = object({
  /** When the counters were read (UTC). */
  timestamp: moment,
  /** Those whose counters could be read. */
  interfaces: list(object({ ...attachment, counters: list(counter) })),
  problems: list(problem),
});
export type DataplaneStats = Checked<typeof dataplaneStats>;

/** What was read in the last minutes, the oldest first; counters that are 0 are left out. */
export const dataplaneHistory = object({ readings: list(dataplaneStats) });

export const trace = object({
  interface: text,
  verdict: text,
  reason: text,
  rule: orNull(object({ prefix: text, action: text, owner: text })),
  program,
});
export type Trace = Checked<typeof trace>;
