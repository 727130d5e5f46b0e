/** The REST contract, as the pages see it: what is made of the API's document, and the words of it that have a place of their own. */

import type * as contract from "./contract";

export {
  type Attachment,
  type Ban,
  ban,
  banPage,
  type Counter,
  type DataplaneHistory,
  dataplaneHistory,
  type DataplaneParts,
  dataplaneParts,
  type DataplaneStats,
  dataplaneStats,
  type DataplaneStatus,
  dataplaneStatus,
  type Draft as NewPolicy,
  type Grant,
  grant,
  hosts,
  type NewBan,
  type NewUser,
  type PartCounter,
  type Pending,
  policies,
  type Policy,
  policy,
  type PolicyChange,
  policyChange,
  policyConfirmation,
  policyHistory,
  type PolicyState,
  type Rates,
  type Revision,
  type Step,
  type TraceResult as Trace,
  traceResult as trace,
  type Trouble as Problem,
  type User,
  user,
  userPage,
} from "./contract";

export const ROLES = ["admin", "maintainer", "viewer"] as const satisfies contract.NewUser["role"][];
export type Role = (typeof ROLES)[number];

/** Of a newer API there may be other roles, which an account keeps. */
export type UserChange = Omit<contract.UserChange, "role"> & { role?: string };

/** The verdicts that have a place on the pages; the kernel, or a newer API, may have others. */
export const VERDICTS = ["pass", "drop", "tx", "redirect", "aborted"] as const;
export type Verdict = (typeof VERDICTS)[number];

export const isVerdict = (verdict: string): verdict is Verdict => (VERDICTS as readonly string[]).includes(verdict);
