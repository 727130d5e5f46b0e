/** What the program's reasons mean to people; docs/decisions/0036 has their order. */
const REASONS = new Map([
  ["no_rule", "nothing matched, passed by default"],
  ["default", "nothing matched, dropped by default"],
  ["list_pass", "passed by a list"],
  ["list_drop", "dropped by a list"],
  ["rule_pass", "passed by a rule"],
  ["rule_drop", "dropped by a rule"],
  ["service_pass", "passed by a service"],
  ["service_drop", "dropped by a service"],
  ["limit", "beyond a limit"],
  ["ban", "banned address"],
  ["trusted", "trusted"],
  ["not_ip", "not IP"],
  ["malformed", "malformed"],
  ["syn_cookie", "answered with a SYN cookie"],
  ["afxdp", "handed to AF_XDP"],
]);

/** A reason in words; one of another release as it is written. */
export const reasonText = (reason: string): string => REASONS.get(reason) ?? reason.replaceAll("_", " ");
