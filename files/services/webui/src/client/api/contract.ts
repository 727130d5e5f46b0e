/** The REST contract. Made from the API's OpenAPI document by `python -m tools.api_types`; do not edit. */

import { anything, type Checked, flag, list, moment, number, object, optional, orNull, text } from "./check";

/** An XDP program, as the kernel knows it. */
export const program = object({
  id: number,
  name: text,
  /** The kernel's digest of the instructions (hex). */
  tag: text,
});
export type Program = Checked<typeof program>;

/** A program on an interface. */
export const attachment = object({
  name: text,
  mode: text,
  program: program,
});
export type Attachment = Checked<typeof attachment>;

/** A change that somebody made. */
export const auditEntry = object({
  id: number,
  time: moment,
  request_id: text,
  /** Null of a command on the host. */
  user_id: orNull(number),
  /** Who did it, or by which command on the host. */
  account: text,
  /** The API token it came by; null of a session. */
  token_id: orNull(number),
  /** The client's address. */
  client: text,
  action: text,
  target: text,
  /** What it was; null where there was nothing, or it does not say. */
  was: orNull(anything),
  /** Likewise, afterwards. */
  became: orNull(anything),
});
export type AuditEntry = Checked<typeof auditEntry>;

/** A page of the audit trail, the newest first. */
export const auditPage = object({
  entries: list(auditEntry),
  /** What to ask for `before` to go on; null at the end. */
  next: orNull(number),
});
export type AuditPage = Checked<typeof auditPage>;

/** An address that is dropped for a while. */
export const ban = object({
  address: text,
  until: moment,
  owner: text,
  by: orNull(text),
  comment: text,
  packets: number,
});
export type Ban = Checked<typeof ban>;

/** A page of the bans in force, by address. */
export const banPage = object({
  bans: list(ban),
  total: number,
});
export type BanPage = Checked<typeof banPage>;

/** What has met one verdict for one reason. */
export const counter = object({
  verdict: text,
  reason: text,
  packets: number,
  bytes: number,
});
export type Counter = Checked<typeof counter>;

/** The counters of an interface. */
export const countedInterface = object({
  name: text,
  mode: text,
  program: program,
  counters: list(counter),
});
export type CountedInterface = Checked<typeof countedInterface>;

/** What a list, rule, limit or service has met. */
export const partCounter = object({
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

/** The parts of the policy of an interface. */
export const countedParts = object({
  name: text,
  parts: list(partCounter),
});
export type CountedParts = Checked<typeof countedParts>;

/** A new API token. */
export const createdToken = object({
  id: number,
  name: text,
  scopes: list(text),
  created_at: moment,
  expires_at: moment,
  /** The last time, to the minute; null where there was none. */
  used_at: orNull(moment),
  /** What to send as `Authorization: Bearer`; no other answer has it. */
  token: text,
});
export type CreatedToken = Checked<typeof createdToken>;

/** One thing that is not as it should be. */
export const trouble = object({
  /** Null where it is nobody's alone. */
  interface: orNull(text),
  /** One word, e.g. "detached"; see the gRPC contract for all. */
  state: text,
  /** What is wrong and what to do. */
  problem: text,
});
export type Trouble = Checked<typeof trouble>;

/** The counters of every interface that has any to give. */
export const dataplaneStats = object({
  timestamp: moment,
  interfaces: list(countedInterface),
  problems: list(trouble),
});
export type DataplaneStats = Checked<typeof dataplaneStats>;

/** What was read in the last minutes, the oldest first; counters that are 0 are left out. */
export const dataplaneHistory = object({
  readings: list(dataplaneStats),
});
export type DataplaneHistory = Checked<typeof dataplaneHistory>;

/** What each part of the policies has met. */
export const dataplaneParts = object({
  timestamp: moment,
  interfaces: list(countedParts),
});
export type DataplaneParts = Checked<typeof dataplaneParts>;

/** Whether go-backend serves, and what is attached where. */
export const dataplaneStatus = object({
  reachable: flag,
  status: text,
  interfaces: list(attachment),
  problems: list(trouble),
});
export type DataplaneStatus = Checked<typeof dataplaneStatus>;

/** A frame that is judged differently. */
export const flip = object({
  frame: text,
  before: text,
  after: text,
});
export type Flip = Checked<typeof flip>;

/** An account. */
export const user = object({
  id: number,
  email: text,
  full_name: text,
  /** admin, maintainer or viewer; newer releases may have others. */
  role: text,
  is_active: flag,
  created_at: moment,
  /** What a change of it sends as `If-Match`. */
  etag: optional(text, ""),
});
export type User = Checked<typeof user>;

/** What a session is held by. */
export const grant = object({
  success: flag,
  access_token: text,
  refresh_token: text,
  token_type: text,
  /** Life of the access token (seconds). */
  expires_in: number,
  user: user,
});
export type Grant = Checked<typeof grant>;

/** A greeting. */
export const greeting = object({
  message: text,
  role: text,
});
export type Greeting = Checked<typeof greeting>;

/** That it lives, or is ready. */
export const health = object({
  status: text,
});
export type Health = Checked<typeof health>;

/** A list, limit or service. */
export const namedPart = object({
  action: optional(text, ""),
  limit: optional(text, ""),
  mode: optional(text, "enforce"),
  owner: optional(text, ""),
  comment: optional(text, ""),
  name: text,
});
export type NamedPart = Checked<typeof namedPart>;

/** Where a page is in its list. */
export const pagination = object({
  page: number,
  per_page: number,
  total: number,
  pages: number,
});
export type Pagination = Checked<typeof pagination>;

/** A change that is in force, and will be taken back unless it is confirmed. */
export const pending = object({
  revision: number,
  deadline: moment,
  /** Until the deadline, by the host's clock (seconds). */
  seconds_left: number,
  by: orNull(text),
});
export type Pending = Checked<typeof pending>;

/** A policy of the host. */
export const policyState = object({
  name: text,
  /** SHA-256 of the whole policy (hex). */
  digest: text,
  interfaces: list(text),
  revision: number,
  pending: orNull(pending),
});
export type PolicyState = Checked<typeof policyState>;

/** Every policy of the host. */
export const policies = object({
  policies: list(policyState),
  /** How many are in force. */
  bans: number,
});
export type Policies = Checked<typeof policies>;

/** A rule. */
export const rulePart = object({
  action: optional(text, ""),
  limit: optional(text, ""),
  mode: optional(text, "enforce"),
  owner: optional(text, ""),
  comment: optional(text, ""),
  id: text,
});
export type RulePart = Checked<typeof rulePart>;

/** A policy, all owners' parts; long lists are shortened. */
export const policyDocument = object({
  lists: optional(list(namedPart), []),
  rules: optional(list(rulePart), []),
  limits: optional(list(namedPart), []),
  services: optional(list(namedPart), []),
  default: optional(text, "pass"),
});
export type PolicyDocument = Checked<typeof policyDocument>;

/** A policy in force. */
export const policy = object({
  name: text,
  /** SHA-256 of the whole policy (hex). */
  digest: text,
  interfaces: list(text),
  revision: number,
  pending: orNull(pending),
  document: policyDocument,
  /** The part that belongs to the API, whole. */
  own: anything,
  /** What a change of it sends as `If-Match`. */
  etag: optional(text, ""),
});
export type Policy = Checked<typeof policy>;

/** What became, or would become, of a policy. */
export const policyChange = object({
  changed: flag,
  revision: number,
  pending: orNull(pending),
  /** What is different, a sentence for each part. */
  summary: list(text),
  /** What whoever wrote the document may not expect of it. */
  warnings: list(text),
  /** The frames that are judged differently. */
  flips: list(flip),
});
export type PolicyChange = Checked<typeof policyChange>;

/** The revision that stays. */
export const policyConfirmation = object({
  revision: number,
});
export type PolicyConfirmation = Checked<typeof policyConfirmation>;

/** Who changed a policy, when and how. */
export const revision = object({
  revision: number,
  time: moment,
  owner: text,
  by: orNull(text),
  name: text,
  why: text,
  digest: text,
  summary: list(text),
  state: text,
});
export type Revision = Checked<typeof revision>;

/** The last revisions, the newest first. */
export const policyHistory = object({
  revisions: list(revision),
});
export type PolicyHistory = Checked<typeof policyHistory>;

/** Which release this is. */
export const release = object({
  status: text,
  version: text,
  /** Unix time of the build. */
  build_epoch: optional(orNull(number), null),
});
export type Release = Checked<typeof release>;

/** A session of one's own. */
export const session = object({
  id: number,
  created_at: moment,
  expires_at: moment,
  /** The one that asks. */
  current: flag,
});
export type Session = Checked<typeof session>;

/** One's own sessions, the oldest first. */
export const sessionList = object({
  sessions: list(session),
});
export type SessionList = Checked<typeof sessionList>;

/** What one part of a policy said of a frame. */
export const step = object({
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

/** An API token of one's own. */
export const token = object({
  id: number,
  name: text,
  scopes: list(text),
  created_at: moment,
  expires_at: moment,
  /** The last time, to the minute; null where there was none. */
  used_at: orNull(moment),
});
export type Token = Checked<typeof token>;

/** One's own API tokens that are good, the oldest first. */
export const tokenList = object({
  tokens: list(token),
});
export type TokenList = Checked<typeof tokenList>;

/** What the first part in observe mode that had a say would have made of a frame. */
export const would = object({
  verdict: text,
  reason: text,
});
export type Would = Checked<typeof would>;

/** What a program does with a frame, why, and by whose word. */
export const traceResult = object({
  interface: text,
  verdict: text,
  reason: text,
  would: orNull(would),
  /** Who said something, in the order of the questions. */
  path: list(step),
  /** Somebody else's program is asked after ours. */
  extended: flag,
  program: program,
});
export type TraceResult = Checked<typeof traceResult>;

/** A page of accounts. */
export const userPage = object({
  users: list(user),
  pagination: pagination,
});
export type UserPage = Checked<typeof userPage>;

/** The revision to keep. */
export interface Confirmation {
  revision: number;
}

/** This API's part of a policy; the host's agent judges what is in it. */
export interface Draft {
  document: Record<string, unknown>;
  expected?: number | null;
  confirm_seconds?: number;
  name?: string;
  why?: string;
}

/** Not held to the rules for new accounts: a wrong guess gets 401, whatever its form. */
export interface Login {
  email: string;
  password: string;
}

/** An address to drop for a while. */
export interface NewBan {
  address: string;
  seconds: number;
  comment?: string;
}

/** One's own password, changed by whoever knows it. */
export interface NewPassword {
  current_password: string;
  new_password: string;
}

/** An API token to make. */
export interface NewToken {
  name: string;
  scopes: Scope[];
  days: number;
}

/** An account to create. */
export interface NewUser {
  email: string;
  password: string;
  full_name: string;
  role: "admin" | "maintainer" | "viewer";
}

/** The token of the last sign-in or refresh. */
export interface Refresh {
  refresh_token: string;
}

/** The revision to go back to; the one before where none is named. */
export interface Return {
  revision?: number | null;
  confirm_seconds?: number;
}

export type Scope = "audit:read" | "dataplane:read" | "dataplane:trace" | "policy:read" | "policy:write" | "users:read" | "users:write";

/** A frame to run through an interface's program. */
export interface Trace {
  interface: string;
  frame: string;
}

/** What to change of an account; at least one key. */
export interface UserChange {
  email?: string;
  password?: string;
  full_name?: string;
  role?: "admin" | "maintainer" | "viewer";
  is_active?: boolean;
}
