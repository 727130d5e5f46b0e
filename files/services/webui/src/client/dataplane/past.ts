import { useQuery } from "@tanstack/react-query";
import type { DataplaneHistory, Rates } from "../api/types";
import { useApi } from "../session/context";
import { type InterfaceRates, type Point, type ReasonRate, WINDOW } from "./rates";

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;

/** How far back a chart goes; beyond the first it is what the server has kept (milliseconds). */
export const RANGES = {
  live: { label: "Last 5 minutes", span: WINDOW, every: SECOND },
  second: { label: "Last hour", span: HOUR, every: 10 * SECOND },
  ten_seconds: { label: "Last day", span: 24 * HOUR, every: 30 * SECOND },
  five_minutes: { label: "Last 31 days", span: 31 * 24 * HOUR, every: 150 * SECOND },
} as const;
export type Range = keyof typeof RANGES;
export type Resolution = Exclude<Range, "live">;

/** Returns what the server has kept, read again now and then; idle for what is live. */
export function usePast(range: Range) {
  const api = useApi();
  return useQuery({
    queryKey: ["past", range],
    queryFn: async () => (range === "live" ? [] : pastPoints(await api.dataplaneHistory(range))),
    enabled: range !== "live",
    refetchInterval: RANGES[range].every,
    structuralSharing: false,
  });
}

/** Returns a point in the middle of each step; what was not known is not known there either. */
export function pastPoints({ begin, step_seconds: seconds, interfaces }: DataplaneHistory): Point[] {
  if (begin === null) return [];
  const first = Date.parse(begin);
  const steps = Math.max(0, ...interfaces.map(({ known_ms: known }) => known.length));
  const points = Array.from({ length: steps }, (_each, step) => ({
    time: first + (step + 0.5) * seconds * SECOND,
    interfaces: new Map<string, InterfaceRates>(),
  }));
  for (const { name, known_ms: known, rates } of interfaces) {
    // Before its first step and after its last one it was not there, as far as anybody knows, and must not cost the others their sum.
    const [from, to] = [known.findIndex((part) => part > 0), known.findLastIndex((part) => part > 0)];
    for (let step = Math.max(from, 0); step <= to; step += 1) {
      const part = known[step] ?? 0;
      const rate = (counted: (number | null)[]) => ((counted[step] ?? 0) / part) * SECOND;
      const met = ({ verdict, reason, packets, bytes }: Rates): ReasonRate => ({ verdict, reason, packets: rate(packets), bytes: rate(bytes), total: 0 });
      points[step]?.interfaces.set(name, part > 0 ? rates.map(met) : null);
    }
  }
  return points;
}
