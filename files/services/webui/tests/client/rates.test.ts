import { describe, expect, it } from "vitest";
import type { Counter, DataplaneStats } from "../../src/client/api/types";
import { RateRecorder, ratesBetween, totals, WINDOW } from "../../src/client/dataplane/rates";

const counter = (verdict: Counter["verdict"], reason: string, packets: number): Counter => ({
  verdict,
  reason,
  packets,
  bytes: packets * 100,
});

/** A reading `seconds` after a fixed moment. */
function reading(seconds: number, interfaces: Record<string, Counter[]>): DataplaneStats {
  return {
    timestamp: new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString(),
    interfaces: Object.entries(interfaces).map(([name, counters]) => ({
      name,
      mode: "native",
      program: { id: 1, name: "tripod_xdp", tag: "0" },
      counters,
    })),
    problems: [],
  };
}

const lab = (seconds: number, packets: number) => reading(seconds, { lab0: [counter("pass", "no_rule", packets)] });

describe("ratesBetween", () => {
  it("divides what was counted by the time between the readings", () => {
    expect(ratesBetween([counter("drop", "acl_drop", 100)], [counter("drop", "acl_drop", 400)], 1.5)).toEqual([
      { verdict: "drop", reason: "acl_drop", packets: 200, bytes: 20_000, total: 400 },
    ]);
  });

  it("takes a counter that appears to have been 0 before", () => {
    expect(ratesBetween([], [counter("pass", "no_rule", 7)], 1)?.[0]?.packets).toBe(7);
  });

  it.each([
    ["went backwards", [counter("pass", "no_rule", 5)]],
    ["is gone", []],
  ])("knows no rate when a counter %s", (_what, after) => {
    expect(ratesBetween([counter("pass", "no_rule", 10)], after, 1)).toBeNull();
  });
});

describe("RateRecorder", () => {
  it("needs two readings, and uses the time at which the data plane took them", () => {
    const recorder = new RateRecorder();
    expect(totals(recorder.add(lab(0, 1000), 50_000).points.at(-1), null)).toBeNull();
    // The answers arrived 1.9 s apart, the counters were read 2 s apart.
    expect(totals(recorder.add(lab(2, 1500), 51_900).points.at(-1), null)?.pass.packets).toBe(250);
  });

  it("reports a reset once and goes on from there", () => {
    const recorder = new RateRecorder();
    recorder.add(lab(0, 1000), 0);
    const reset = recorder.add(lab(1, 10), 1000);
    expect(totals(reset.points.at(-1), null)).toBeNull();
    expect(reset.resets).toEqual([{ interface: "lab0", time: 1000 }]);
    const after = recorder.add(lab(2, 30), 2000);
    expect(totals(after.points.at(-1), "lab0")?.pass.packets).toBe(20);
    expect(after.resets).toHaveLength(1);
  });

  it("leaves a gap for an outage instead of an average over it", () => {
    const recorder = new RateRecorder();
    recorder.add(lab(0, 0), 0);
    recorder.add(lab(1, 10), 1000);
    recorder.miss(2000);
    recorder.miss(3000);
    recorder.add(lab(4, 1000), 4000);
    const { points } = recorder.add(lab(5, 1010), 5000);
    expect(points.map((point) => totals(point, null)?.pass.packets ?? null)).toEqual([null, 10, null, null, null, 10]);
  });

  it("leaves a gap where nobody asked for a while", () => {
    const recorder = new RateRecorder();
    recorder.add(lab(0, 0), 0);
    const { points, resets } = recorder.add(lab(60, 600), 60_000);
    expect(totals(points.at(-1), null)).toBeNull();
    expect(resets).toEqual([]);
  });

  it("puts what was missed in the place of the gap that it left", () => {
    const recorder = new RateRecorder();
    recorder.add(lab(0, 0), 0);
    for (const time of [1000, 2000, 3000, 4000]) recorder.miss(time);
    expect(recorder.taken).toBe(Date.UTC(2026, 0, 1));
    for (let second = 1; second <= 3; second += 1) recorder.add(lab(second, 10 * second), second * 1000);
    expect(recorder.history.points.map((point) => [point.time, totals(point, null)?.pass.packets ?? null])).toEqual([
      [0, null],
      [1000, 10],
      [2000, 10],
      [3000, 10],
    ]);
  });

  it("makes no point of the same reading twice", () => {
    const recorder = new RateRecorder();
    recorder.add(lab(0, 0), 0);
    recorder.add(lab(1, 10), 1000);
    expect(recorder.add(lab(1, 10), 1500).points).toHaveLength(2);
  });

  it("survives a clock that was set back", () => {
    const recorder = new RateRecorder();
    recorder.add(lab(10, 0), 0);
    expect(totals(recorder.add(lab(5, 10), 1000).points.at(-1), null)).toBeNull();
    expect(totals(recorder.add(lab(6, 20), 2000).points.at(-1), null)?.pass.packets).toBe(10);
  });

  it("forgets what is older than the window", () => {
    const recorder = new RateRecorder();
    for (let second = 0; second <= 400; second += 1) recorder.add(lab(second, second), second * 1000);
    expect(recorder.history.points).toHaveLength(WINDOW / 1000);
  });
});

describe("totals", () => {
  it("adds interfaces up, and knows no sum when it does not know a part", () => {
    const recorder = new RateRecorder();
    const two = (seconds: number, a: number, b: number) =>
      reading(seconds, { a: [counter("pass", "no_rule", a)], b: [counter("pass", "acl_pass", b), counter("drop", "acl_drop", b)] });
    recorder.add(two(0, 0, 0), 0);
    const known = recorder.add(two(1, 10, 5), 1000).points.at(-1);
    expect(totals(known, null)).toMatchObject({ pass: { packets: 15 }, drop: { packets: 5 }, tx: { packets: 0 } });
    const partly = recorder.add(two(2, 3, 10), 2000).points.at(-1);
    expect(totals(partly, null)).toBeNull();
    expect(totals(partly, "b")?.pass.packets).toBe(5);
    expect(totals(partly, "gone")).toBeNull();
  });

  it.each([
    ["damaged", null],
    ["unreadable", null],
    ["detached", 10],
    ["absent", 10],
  ])("knows no sum while a program may count and nobody can read what: %s", (state, sum) => {
    const recorder = new RateRecorder();
    const troubled = (seconds: number, packets: number) => ({
      ...lab(seconds, packets),
      problems: [
        { interface: "lab1", state, problem: "out of order" },
        { interface: null, state: "unreadable", problem: "of no interface" },
      ],
    });
    recorder.add(troubled(0, 0), 0);
    const point = recorder.add(troubled(1, 10), 1000).points.at(-1);
    expect(totals(point, null)?.pass.packets ?? null).toBe(sum);
    expect(totals(point, "lab0")?.pass.packets).toBe(10);
  });

  it("takes a verdict without a name for what it is: not one of the known", () => {
    const recorder = new RateRecorder();
    const odd = (packets: number) => ({ lab0: [counter("pass", "no_rule", packets), counter("unknown_7", "unknown_15", packets)] });
    recorder.add(reading(0, odd(0)), 0);
    expect(totals(recorder.add(reading(1, odd(10)), 1000).points.at(-1), null)).toMatchObject({ pass: { packets: 10 }, drop: { packets: 0 } });
  });
});
