import { type Counter, type DataplaneStats, isVerdict, VERDICTS, type Verdict } from "../api/types";

/** Per second. */
export interface Rate {
  packets: number;
  bytes: number;
}

export interface ReasonRate extends Rate {
  verdict: string;
  reason: string;
  /** Packets since the counters started. */
  total: number;
}

/** What one interface did between two readings; null where that is not known. */
export type InterfaceRates = ReasonRate[] | null;

export interface Point {
  /** When the reading was taken (milliseconds, this browser's clock). */
  time: number;
  /** By interface; empty while the data plane does not answer. */
  interfaces: ReadonlyMap<string, InterfaceRates>;
}

export interface Reset {
  interface: string;
  time: number;
}

export interface History {
  points: readonly Point[];
  resets: readonly Reset[];
}

/** How far back the history goes (milliseconds). */
export const WINDOW = 5 * 60_000;

/** Readings further apart make no rate: an average over an outage would look like a measurement of each second (ms). */
const LONGEST = 2_500;

/** States in which a program of ours may count, and nobody can read what. */
const UNREAD = new Set(["damaged", "unreadable"]);

const key = (counter: Counter) => `${counter.verdict} ${counter.reason}`;

/**
 * Returns the rates between two readings of one interface, or null where a counter went backwards:
 * then the counters were made anew, and what was counted before that moment is not known.
 *
 * @param seconds Between the two readings, above 0.
 */
export function ratesBetween(before: Counter[], after: Counter[], seconds: number): InterfaceRates {
  const earlier = new Map(before.map((counter) => [key(counter), counter]));
  const rates: ReasonRate[] = [];
  for (const counter of after) {
    const old = earlier.get(key(counter)) ?? { packets: 0, bytes: 0 };
    earlier.delete(key(counter));
    if (counter.packets < old.packets || counter.bytes < old.bytes) return null;
    rates.push({
      verdict: counter.verdict,
      reason: counter.reason,
      packets: (counter.packets - old.packets) / seconds,
      bytes: (counter.bytes - old.bytes) / seconds,
      total: counter.packets,
    });
  }
  const lost = [...earlier.values()].some((counter) => counter.packets > 0);
  return lost ? null : rates;
}

/** Turns readings of counters into rates, and remembers the last five minutes. */
export class RateRecorder {
  #last: DataplaneStats | null = null;
  #history: History = { points: [], resets: [] };
  /** The id of the last reading; empty for none. Behind it a stream goes on. */
  id = "";

  /** A new object after each change. */
  get history(): History {
    return this.#history;
  }

  /** @param now When it was taken, by this browser's clock (ms). */
  add(stats: DataplaneStats, now: number): History {
    const before = this.#last;
    this.#last = stats;
    const seconds = before ? (Date.parse(stats.timestamp) - Date.parse(before.timestamp)) / 1000 : NaN;
    // The same reading twice says nothing new.
    if (seconds === 0) return this.#history;

    const interfaces = new Map<string, InterfaceRates>();
    const resets: Reset[] = [];
    for (const { name, counters } of stats.interfaces) {
      const old = before?.interfaces.find((entry) => entry.name === name);
      const comparable = old && seconds > 0 && seconds * 1000 <= LONGEST;
      const rates = comparable ? ratesBetween(old.counters, counters, seconds) : null;
      if (comparable && !rates) resets.push({ interface: name, time: now });
      interfaces.set(name, rates);
    }
    for (const { interface: name, state } of stats.problems) {
      if (name !== null && UNREAD.has(state) && !interfaces.has(name)) interfaces.set(name, null);
    }
    return this.#append({ time: now, interfaces }, resets);
  }

  /** When the last reading was taken, as the data plane says (ms); -Infinity where there is none. */
  get taken(): number {
    return this.#last ? Date.parse(this.#last.timestamp) : -Infinity;
  }

  /** Nothing came: the chart shows a gap from here to the next reading, unless those that were missed come yet. */
  miss(now: number): History {
    return this.#append({ time: now, interfaces: new Map() }, []);
  }

  #append(point: Point, resets: Reset[]): History {
    const recent = ({ time }: { time: number }) => time > point.time - WINDOW && time <= point.time;
    this.#history = {
      // What was missing there is there now.
      points: [...this.#history.points.filter((old) => recent(old) && old.time < point.time), point],
      resets: [...this.#history.resets.filter(recent), ...resets],
    };
    return this.#history;
  }
}

export type Totals = Record<Verdict, Rate>;

/**
 * Returns the rates by verdict of one interface, or of all together; null where any part is not known,
 * as a sum that lacks a part would pass for the whole.
 */
export function totals(point: Point | undefined, ifname: string | null): Totals | null {
  if (!point) return null;
  const parts = ifname === null ? [...point.interfaces.values()] : [point.interfaces.get(ifname) ?? null];
  if (parts.length === 0) return null;
  const sum = Object.fromEntries(VERDICTS.map((verdict) => [verdict, { packets: 0, bytes: 0 }])) as Totals;
  for (const rates of parts) {
    if (!rates) return null;
    for (const { verdict, packets, bytes } of rates) {
      // A verdict that this release does not know has no tile, and must not cost the others theirs.
      if (!isVerdict(verdict)) continue;
      sum[verdict].packets += packets;
      sum[verdict].bytes += bytes;
    }
  }
  return sum;
}
