import { expect, it, onTestFinished, vi } from "vitest";
import type { ApiError } from "../../src/client/api/http";
import { blocks, follow } from "../../src/client/dataplane/live";
import { RateRecorder, totals } from "../../src/client/dataplane/rates";

/** A stream that sends pieces and ends, or stays open. */
function stream(pieces: string[], ends = true): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(new TextEncoder().encode(piece));
      if (ends) controller.close();
    },
  });
}

const RETRY = "retry: 2000\n\n";
const BEAT = ": \n\n";

function reading(second: number, packets: number): string {
  const stats = {
    timestamp: new Date(Date.UTC(2026, 0, 1) + second * 1000).toISOString(),
    interfaces: [{ name: "lab0", mode: "native", program: { id: 1, name: "x", tag: "0" }, counters: [{ verdict: "pass", reason: "no_rule", packets, bytes: 0 }] }],
    problems: [],
  };
  return `id: p-${second}\nevent: reading\ndata: ${JSON.stringify(stats)}\n\n`;
}

/** Follows streams that come one after the other; the last one stays. */
function following(...streams: (ReadableStream<Uint8Array> | Error)[]) {
  const end = new AbortController();
  onTestFinished(() => end.abort());
  const recorder = new RateRecorder();
  const lasts: string[] = [];
  const told: (ApiError | null)[] = [];
  const open = (last: string) => {
    lasts.push(last);
    const next = streams.shift() ?? stream([BEAT], false);
    return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
  };
  void follow(open, recorder, (failure) => told.push(failure), end.signal);
  const packets = () => recorder.history.points.map((point) => totals(point, null)?.pass.packets ?? null);
  return { recorder, lasts, told, packets };
}

it("reads events however they are cut", async () => {
  const text = `${RETRY}${BEAT}${reading(0, 1)}`;
  const found = [];
  for await (const block of blocks(stream(Array.from(text)))) found.push(block);
  expect(found.map(({ id, kind }) => [id, kind])).toEqual([["", ""], ["p-0", "reading"]]);
});

it("has all that was kept at once, at the time at which it was, and then what comes", async () => {
  const { packets, recorder } = following(stream([RETRY, reading(0, 0), reading(1, 10), reading(2, 30), BEAT, reading(3, 33)], false));
  await expect.poll(packets).toEqual([null, 10, 20, 3]);
  const times = recorder.history.points.map(({ time }) => time);
  expect(times.map((time) => time - (times[0] ?? 0))).toEqual([0, 1000, 2000, 3000]);
  expect(Math.abs(Date.now() - (times[2] ?? 0))).toBeLessThan(3_000);
});

it("goes on behind the last reading after it was cut, without a gap", async () => {
  const { packets, lasts } = following(stream([reading(0, 0), reading(1, 10), BEAT]), stream([reading(2, 20), BEAT], false));
  await expect.poll(packets).toEqual([null, 10, 10]);
  expect(lasts).toEqual(["", "p-1"]);
});

it("takes nothing twice that comes again after a loss", async () => {
  const lost = 'event: lost\ndata: {"time": "2026-01-01T00:00:00Z"}\n\n';
  const { packets } = following(stream([reading(0, 0), reading(1, 10), BEAT]), stream([lost, reading(0, 0), reading(1, 10), reading(2, 20), BEAT], false));
  await expect.poll(packets).toEqual([null, 10, 10]);
});

it("says in the API's words what keeps readings from coming, and when they come again", async () => {
  const away = 'event: away\ndata: {"time": "2026-01-01T00:00:00Z", "code": "dataplane_unavailable", "detail": "It does not answer."}\n\n';
  const { told } = following(stream([away, BEAT, reading(1, 10)], false));
  await expect.poll(() => told.map((failure) => failure && [failure.code, failure.message])).toEqual([["dataplane_unavailable", "It does not answer."], null]);
});

it("says what it cannot read, and tries again", async () => {
  const random = vi.spyOn(Math, "random").mockReturnValue(0);
  onTestFinished(() => random.mockRestore());
  const { told, packets, lasts } = following(stream(["event: reading\ndata: nonsense\n\n", BEAT]), new Error("cut"), stream([reading(0, 0), BEAT], false));
  await expect.poll(packets, { timeout: 5_000 }).toEqual([null]);
  expect(told[0]?.code).toBe("unexpected_answer");
  expect(lasts).toHaveLength(3);
  expect(told.at(-1)).toBeNull();
});
