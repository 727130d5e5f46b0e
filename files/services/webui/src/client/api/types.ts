/** The REST contract, as the client sees it. */

export const ROLES = ["admin", "maintainer", "viewer"] as const;
export type Role = (typeof ROLES)[number];

export interface User {
  id: number;
  email: string;
  full_name: string;
  role: Role;
  is_active: boolean;
  /** RFC 3339, UTC. */
  created_at: string;
}

export interface NewUser {
  email: string;
  password: string;
  full_name: string;
  role: Role;
}

export type UserChange = Partial<NewUser & { is_active: boolean }>;

export interface UserPage {
  users: User[];
  pagination: { page: number; per_page: number; total: number; pages: number };
}

export interface Grant {
  access_token: string;
  refresh_token: string;
  /** Life of the access token (seconds). */
  expires_in: number;
  user: User;
}

export interface Program {
  id: number;
  name: string;
  /** The kernel's digest of the instructions (hex). */
  tag: string;
}

export interface Attachment {
  name: string;
  mode: string;
  program: Program;
}

export interface Problem {
  /** Null where the problem is nobody's alone. */
  interface: string | null;
  /** One word, e.g. "detached"; see the gRPC contract for all. */
  state: string;
  /** What is wrong and what to do. */
  problem: string;
}

export interface DataplaneStatus {
  reachable: boolean;
  status: string;
  interfaces: Attachment[];
  problems: Problem[];
}

export const VERDICTS = ["pass", "drop", "tx", "redirect", "aborted"] as const;
export type Verdict = (typeof VERDICTS)[number];

export interface Counter {
  verdict: Verdict;
  reason: string;
  packets: number;
  bytes: number;
}

export interface DataplaneStats {
  /** When the counters were read (RFC 3339, UTC). */
  timestamp: string;
  /** Those whose counters could be read. */
  interfaces: (Attachment & { counters: Counter[] })[];
  problems: Problem[];
}

export interface Trace {
  interface: string;
  verdict: Verdict;
  reason: string;
  rule: { prefix: string; action: string; owner: string } | null;
  program: Program;
}
