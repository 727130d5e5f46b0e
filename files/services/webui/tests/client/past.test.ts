import { expect, it } from "vitest";
import { pastPoints } from "../../src/client/dataplane/past";
import { totals } from "../../src/client/dataplane/rates";

const history = (known: number[], packets: (number | null)[], others: number[] = []) => ({
  begin: "2026-01-01T00:00:00Z",
  step_seconds: 10,
  left_out: 0,
  interfaces: [
    { name: "lab0", known_ms: known, rates: [{ verdict: "drop", reason: "list_drop", packets, bytes: packets }] },
    ...(others.length ? [{ name: "lab1", known_ms: others, rates: [] }] : []),
  ],
});

const drops = (...given: Parameters<typeof history>) => pastPoints(history(...given)).map((point) => totals(point, null)?.drop.packets ?? null);

it("divides by what is known of a step, and leaves a gap where nothing is", () => {
  expect(drops([10_000, 0, 2_000, 10_000], [50, null, 50, 0])).toEqual([5, null, 25, 0]);
});

it("has each step at its middle", () => {
  expect(pastPoints(history([10_000, 10_000], [1, 1])).map(({ time }) => time - Date.UTC(2026, 0, 1))).toEqual([5_000, 15_000]);
});

it("knows a sum while an interface was not there yet or is gone, and none in a gap of it", () => {
  expect(drops([10_000, 10_000, 10_000, 10_000, 10_000], [10, 10, 10, 10, 10], [0, 10_000, 0, 10_000, 0])).toEqual([1, 1, null, 1, 1]);
});

it("has no point where the server has none", () => {
  expect(pastPoints({ begin: null, step_seconds: 1, left_out: 0, interfaces: [] })).toEqual([]);
});
