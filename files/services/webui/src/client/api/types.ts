/** The REST contract, as the client sees it: a check of each answer, and the type it proves. */

import { type Checked, flag, list, moment, number, object, optional, orNull, text } from "./check";

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

const step = object({
  /** One word, e.g. "list"; see the gRPC contract for all. */
  part: text,
  /** Its name in the policy; null for those that there is one of. */
  id: orNull(text),
  /** A verdict where it decided, or would have; else what it was. */
  says: text,
  /** In observe mode: it changed nothing. */
  observed: flag,
});
export type Step = Checked<typeof step>;

export const trace = object({
  interface: text,
  verdict: text,
  reason: text,
  /** What the first part in observe mode that had a say would have made of it. */
  would: orNull(object({ verdict: text, reason: text })),
  /** Who said something, in the order of the questions. */
  path: list(step),
  /** Somebody else's program is asked after ours. */
  extended: flag,
  program,
});
export type Trace = Checked<typeof trace>;

const partCounter = object({
  part: text,
  id: text,
  packets: number,
  bytes: number,
  observed_packets: number,
  observed_bytes: number,
  /** Of the last packet; null where there was none. */
  last: orNull(moment),
});
export type PartCounter = Checked<typeof partCounter>;

export const dataplaneParts = object({
  timestamp: moment,
  interfaces: list(object({ name: text, parts: list(partCounter) })),
});
export type DataplaneParts = Checked<typeof dataplaneParts>;

/** A change that is in force and will be taken back unless it is confirmed. */
const pending = object({ revision: number, deadline: moment, by: orNull(text) });
export type Pending = Checked<typeof pending>;

const policyState = {
  name: text,
  /** SHA-256 of the whole policy (hex). */
  digest: text,
  interfaces: list(text),
  revision: number,
  pending: orNull(pending),
};

export const policies = object({ policies: list(object(policyState)), bans: number });
export type PolicyState = Checked<typeof policies>["policies"][number];

/** What a part of a policy is shown with; the rest of it is left out. */
const described = {
  action: optional(text, ""),
  limit: optional(text, ""),
  mode: optional(text, "enforce"),
  owner: optional(text, ""),
  comment: optional(text, ""),
};
const named = list(object({ name: text, ...described }));

export const policy = object({
  ...policyState,
  document: object({
    lists: optional(named, []),
    rules: optional(list(object({ id: text, ...described })), []),
    limits: optional(named, []),
    services: optional(named, []),
    default: optional(text, "pass"),
  }),
});
export type Policy = Checked<typeof policy>;

export const policyChange = object({ changed: flag, revision: number, pending: orNull(pending), summary: list(text) });
export const policyConfirmation = object({ revision: number });

const revision = object({
  revision: number,
  time: moment,
  /** Whose part changed: "inventory", "api", or a feed's name. */
  owner: text,
  by: orNull(text),
  name: text,
  why: text,
  summary: list(text),
  /** One word, e.g. "current"; see the gRPC contract for all. */
  state: text,
});
export type Revision = Checked<typeof revision>;
export const policyHistory = object({ revisions: list(revision) });

export const ban = object({ address: text, until: moment, owner: text, by: orNull(text), comment: text, packets: number });
export type Ban = Checked<typeof ban>;
export const banPage = object({ bans: list(ban), total: number });

export interface NewBan {
  address: string;
  seconds: number;
  comment: string;
}
