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

/** What a worker that balances sends flows to. */
export const backend = object({
  worker: text,
  name: text,
  address: text,
  alive: flag,
  /** Why its last check failed. */
  reason: orNull(text),
  /** Of all flows, those that are its own now: 0 to 1. */
  share: number,
  weight: number,
  packets: number,
  /** When it came to be alive or not. */
  since: moment,
});
export type Backend = Checked<typeof backend>;

/** Backends of workers, by worker. */
export const backends = object({
  backends: list(backend),
});
export type Backends = Checked<typeof backends>;

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

/** The host's CPUs. */
export const cpus = object({
  online: list(number),
  present: list(number),
  isolated: list(number),
  nohz_full: list(number),
  /** Hardware threads that share a core. */
  siblings: list(list(number)),
});
export type Cpus = Checked<typeof cpus>;

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

/** What met one verdict for one reason, in each step. */
export const rates = object({
  verdict: text,
  reason: text,
  /** In the known part of a step; null where nothing is known. */
  packets: list(orNull(number)),
  /** Likewise. */
  bytes: list(orNull(number)),
});
export type Rates = Checked<typeof rates>;

/** What an interface counted. */
export const interfaceRates = object({
  name: text,
  /** For how much of each step it is known what was counted (milliseconds); 0 is a gap. */
  known_ms: list(number),
  /** Of what met a packet within these steps. */
  rates: list(rates),
});
export type InterfaceRates = Checked<typeof interfaceRates>;

/** What was counted in steps, the oldest first. */
export const dataplaneHistory = object({
  /** Of the first step; null where there is none yet. */
  begin: orNull(moment),
  step_seconds: number,
  /** Those that were read within these steps, gone ones too. */
  interfaces: list(interfaceRates),
  /** Counters for which there was no room, as there is for 64; usually 0. */
  left_out: number,
});
export type DataplaneHistory = Checked<typeof dataplaneHistory>;

/** What each part of the policies has met. */
export const dataplaneParts = object({
  timestamp: moment,
  interfaces: list(countedParts),
});
export type DataplaneParts = Checked<typeof dataplaneParts>;

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

/** Whether go-backend serves, and what is attached where. */
export const dataplaneStatus = object({
  reachable: flag,
  status: text,
  interfaces: list(attachment),
  problems: list(trouble),
});
export type DataplaneStatus = Checked<typeof dataplaneStatus>;

/** A packet that was dropped, or would have been. */
export const drop = object({
  time: moment,
  interface: text,
  queue: number,
  verdict: text,
  reason: text,
  /** What decided it, such as rule:no-snmp. */
  part: orNull(text),
  /** What the first part in observe mode would have made of it. */
  would: orNull(text),
  would_reason: orNull(text),
  would_part: orNull(text),
  /** Of the frame (bytes). */
  length: number,
  source: orNull(text),
  destination: orNull(text),
  protocol: orNull(number),
  source_port: orNull(number),
  destination_port: orNull(number),
  vlan: orNull(number),
  /** Its first bytes (hex). */
  frame: text,
});
export type Drop = Checked<typeof drop>;

/** Samples of packets, the newest first; counters have the true numbers. */
export const drops = object({
  drops: list(drop),
});
export type Drops = Checked<typeof drops>;

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

/** What became of the packets of one handler; each is in one of consumed, sent, forwarded and dropped. */
export const handlerStats = object({
  handler: text,
  packets: number,
  bytes: number,
  consumed: number,
  sent: number,
  forwarded: number,
  /** By reason. */
  dropped: anything,
});
export type HandlerStats = Checked<typeof handlerStats>;

/** That it lives, or is ready. */
export const health = object({
  status: text,
});
export type Health = Checked<typeof health>;

/** An interface with a program, or one that a policy judges or a worker serves. */
export const hostInterface = object({
  name: text,
  /** Of the program; null where it runs none of ours. */
  mode: orNull(text),
  policies: list(text),
  workers: list(text),
});
export type HostInterface = Checked<typeof hostInterface>;

/** A host of the data plane. */
export const host = object({
  /** By which the query `host` names it. */
  host: text,
  /** What it calls itself; null while its agent does not answer. */
  name: orNull(text),
  /** Where its control service is asked. */
  target: text,
  reachable: flag,
  status: text,
  /** The kernel's. */
  release: orNull(text),
  interfaces: list(hostInterface),
  /** What did not answer, in words; the rest is good all the same. */
  missing: list(text),
});
export type Host = Checked<typeof host>;

/** The hosts of the data plane. */
export const hosts = object({
  hosts: list(host),
});
export type Hosts = Checked<typeof hosts>;

/** The pool of one page size. */
export const hugepages = object({
  /** Of a page (bytes). */
  size: number,
  total: number,
  free: number,
});
export type Hugepages = Checked<typeof hugepages>;

/** A packet that was dropped, or would have been, as it is kept. */
export const keptDrop = object({
  time: moment,
  interface: text,
  queue: number,
  verdict: text,
  reason: text,
  /** What decided it, such as rule:no-snmp. */
  part: orNull(text),
  /** What the first part in observe mode would have made of it. */
  would: orNull(text),
  would_reason: orNull(text),
  would_part: orNull(text),
  /** Of the frame (bytes). */
  length: number,
  source: orNull(text),
  destination: orNull(text),
  protocol: orNull(number),
  source_port: orNull(number),
  destination_port: orNull(number),
  vlan: orNull(number),
  id: number,
  /** Samples that were lost between the one before and this one. */
  lost: number,
});
export type KeptDrop = Checked<typeof keptDrop>;

/** A page of the samples that are kept of a host, the newest first; counters have the true numbers. */
export const keptDrops = object({
  drops: list(keptDrop),
  /** What to ask for `before` to go on; null at the end. */
  next: orNull(number),
});
export type KeptDrops = Checked<typeof keptDrops>;

/** Packets that the kernel had no place for; see XDP_STATISTICS. */
export const kernelStats = object({
  dropped: number,
  ring_full: number,
  fill_empty: number,
  invalid_fill: number,
  invalid_tx: number,
});
export type KernelStats = Checked<typeof kernelStats>;

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

/** A network interface; null is what nobody knows. */
export const nic = object({
  name: text,
  kind: orNull(text),
  driver: orNull(text),
  pci_address: orNull(text),
  numa_node: orNull(number),
  mac: orNull(text),
  mtu: orNull(number),
  up: flag,
  operstate: orNull(text),
  speed_mbps: orNull(number),
  queues: orNull(anything),
  channels: orNull(anything),
  rings: orNull(anything),
  irqs: list(anything),
  /** What its driver can do, and which programs it runs. */
  xdp: anything,
});
export type Nic = Checked<typeof nic>;

/** A NUMA node. */
export const node = object({
  id: number,
  cpus: list(number),
  /** Bytes. */
  memory_total: number,
  /** Bytes. */
  memory_free: number,
  hugepages: list(hugepages),
  /** To each node, itself included; 10 is local. */
  distance: list(number),
});
export type Node = Checked<typeof node>;

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

/** A list, rule, limit or service of a policy, and what it has met on the policy's interfaces together. */
export const policyPart = object({
  policy: text,
  /** Its name in the policy. */
  id: text,
  /** Only those of `api` are changed here. */
  owner: text,
  /** What it says; the entries of somebody else's long list are shortened. */
  part: anything,
  /** What a change of it sends as `If-Match`. */
  etag: text,
  packets: number,
  bytes: number,
  observed_packets: number,
  observed_bytes: number,
  /** Of the last packet; null where there was none. */
  last: orNull(moment),
});
export type PolicyPart = Checked<typeof policyPart>;

/** Parts of policies, in the order in which they are asked. */
export const policyParts = object({
  parts: list(policyPart),
});
export type PolicyParts = Checked<typeof policyParts>;

/** A queue that a worker serves, or has served since go-backend began. */
export const queueStats = object({
  worker: text,
  nic: text,
  queue: number,
  fill_level: number,
  rx_level: number,
  tx_level: number,
  completion_level: number,
  frames: number,
  free_frames: number,
  retries: number,
  /** For how long its thread worked rather than slept (nanoseconds). */
  busy_ns: number,
  kernel: kernelStats,
  handlers: list(handlerStats),
});
export type QueueStats = Checked<typeof queueStats>;

/** Whether a token is good for the stream of events. */
export const reader = object({
  allowed: flag,
  /** What the stream would answer. */
  status: number,
  /** Why not; null where it is allowed. */
  code: orNull(text),
  /** Likewise, for persons. */
  detail: orNull(text),
});
export type Reader = Checked<typeof reader>;

/** Whether tokens are good for the stream of events, in the order in which they were asked about. */
export const readers = object({
  readers: list(reader),
});
export type Readers = Checked<typeof readers>;

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

/** A setting of this service. */
export const setting = object({
  name: text,
  /** Numbers and yes or no as JSON writes them. */
  value: text,
  /** By which the deployment sets it; null of what the release fixes. */
  variable: orNull(text),
  description: text,
});
export type Setting = Checked<typeof setting>;

/** What this service was told when it began; it changes with a deployment. */
export const settings = object({
  settings: list(setting),
});
export type Settings = Checked<typeof settings>;

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

/** What the host is made of. */
export const topology = object({
  host: text,
  /** The kernel's. */
  release: text,
  nodes: list(node),
  cpus: cpus,
  nics: list(nic),
});
export type Topology = Checked<typeof topology>;

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

/** A queue that a worker serves. */
export const workerQueue = object({
  queue: number,
  cpu: number,
  /** How packets come: zero-copy, copy or generic. */
  mode: text,
  /** Its thread does not come back; its packets go to the network stack meanwhile. */
  stalled: flag,
});
export type WorkerQueue = Checked<typeof workerQueue>;

/** Threads that have the packets of queues of a NIC past the network stack. */
export const worker = object({
  name: text,
  nic: text,
  /** running, stopped or failed; newer releases may have others. */
  state: text,
  /** Why it failed, with the way out. */
  reason: orNull(text),
  handler: text,
  queues: list(workerQueue),
  /** Where its packets lie. */
  memory: orNull(text),
  /** Why they do not lie where they were requested to. */
  memory_fallback: orNull(text),
});
export type Worker = Checked<typeof worker>;

/** All workers, by name. */
export const workerList = object({
  workers: list(worker),
});
export type WorkerList = Checked<typeof workerList>;

/** What became of packets. */
export const workerStats = object({
  timestamp: moment,
  queues: list(queueStats),
});
export type WorkerStats = Checked<typeof workerStats>;

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

/** The CPUs of a worker's queues, one for each, in their order. */
export interface Move {
  cpus: number[];
}

/** An address to drop for a while. */
export interface NewBan {
  address: string;
  seconds: number;
  comment?: string;
}

/** Which packets of a worker, and how many at most: it ends with the first limit that is reached. */
export interface NewCapture {
  worker: string;
  filter?: string;
  packets?: number;
  bytes?: number;
  seconds?: number;
  snap_length?: number;
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

/** A part of a policy; the host's agent judges what is in it. */
export interface PartDraft {
  part: Record<string, unknown>;
  confirm_seconds?: number;
  why?: string;
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

export type Scope = "audit:read" | "dataplane:read" | "dataplane:trace" | "packets:read" | "policy:read" | "policy:write" | "settings:read" | "users:read" | "users:write" | "workers:write";

/** Tokens of those who read the stream of events. */
export interface Tokens {
  tokens: string[];
}

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
