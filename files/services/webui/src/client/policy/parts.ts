import type { DataplaneParts, PartCounter, Policy } from "../api/types";

/** Where a change of a policy shows, by the keys of what is asked. */
export const SEEN_IN = ["policies", "policy", "history"];

/** A part of a policy with what it has met on all interfaces that the policy judges. */
export interface Row {
  part: string;
  id: string;
  /** What it does, e.g. "drop"; empty for a limit, and for what is not in the policy. */
  action: string;
  mode: string;
  owner: string;
  comment: string;
  packets: number;
  observed: number;
  /** Of the last packet (RFC 3339); null where there was none. */
  last: string | null;
}

type Described = Policy["document"]["limits"][number];

const key = (part: string, id: string) => `${part} ${id}`;

/** Joins what a policy says with what was counted; what was counted for no part of it comes last. */
export function partRows(policy: Policy, counted: DataplaneParts | undefined): Row[] {
  const met = new Map<string, PartCounter[]>();
  for (const { name, parts } of counted?.interfaces ?? []) {
    if (!policy.interfaces.includes(name)) continue;
    for (const counter of parts) {
      const place = key(counter.part, counter.id);
      met.set(place, [...(met.get(place) ?? []), counter]);
    }
  }
  const { lists, rules, limits, services } = policy.document;
  const described: [string, string, Described][] = [
    ...lists.map((one) => ["list", one.name, one] as [string, string, Described]),
    ...rules.map((one) => ["rule", one.id, { name: one.id, ...one }] as [string, string, Described]),
    ...limits.map((one) => ["limit", one.name, one] as [string, string, Described]),
    ...services.map((one) => ["service", one.name, one] as [string, string, Described]),
  ];
  const rows = described.map(([part, id, { action, limit, mode, owner, comment }]) => {
    const counters = met.get(key(part, id)) ?? [];
    met.delete(key(part, id));
    return row(part, id, { action: action || (limit && `limit:${limit}`), mode, owner, comment }, counters);
  });
  const rest = [...met.values()].flatMap((counters) => {
    const [first] = counters;
    return first ? [row(first.part, first.id, { action: "", mode: "", owner: "", comment: "" }, counters)] : [];
  });
  return [...rows, ...rest];
}

function row(part: string, id: string, described: Pick<Row, "action" | "mode" | "owner" | "comment">, counters: readonly PartCounter[]): Row {
  const sum = (value: (counter: PartCounter) => number) => counters.reduce((total, counter) => total + value(counter), 0);
  const last = counters.reduce<string | null>(
    (latest, counter) => (counter.last !== null && (latest === null || Date.parse(counter.last) > Date.parse(latest)) ? counter.last : latest),
    null,
  );
  return { part, id, ...described, packets: sum(({ packets }) => packets), observed: sum((counter) => counter.observed_packets), last };
}
