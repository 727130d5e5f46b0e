import { anything, text } from "../api/check";
import { ApiError, explain, offline, unreadable } from "../api/http";
import { type DataplaneStats, dataplaneStats } from "../api/types";
import type { RateRecorder } from "./rates";

/** Between two tries: at first, and at most; a random half of it is left out (milliseconds, as below). */
const PAUSE = { first: 500, last: 10_000 };
/** The server says something every 5 s. */
const SILENCE = 15_000;
/** By how much the two clocks may drift apart before they are compared anew. */
const DRIFT = 2_000;

interface Block {
  id: string;
  /** Empty of a comment, which says that the other end is there. */
  kind: string;
  data: string;
}

/** Gives what a stream of events is made of (HTML standard, section 9.2), in the form that the API has. */
export async function* blocks(stream: ReadableStream<Uint8Array>): AsyncGenerator<Block> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await within(reader.read().catch(() => Promise.reject(offline())));
      if (done) return;
      const parts = (rest + decoder.decode(value, { stream: true })).split("\n\n");
      rest = parts.pop() ?? "";
      for (const part of parts) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(part)?.[1] ?? "";
        const kind = field("event");
        // All else, such as how long to wait for a new connection, is for browsers' own readers.
        if (kind || part.startsWith(":")) yield { id: field("id"), kind, data: field("data") };
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

async function within<T>(work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(offline()), SILENCE);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

type Open = (last: string, signal: AbortSignal) => Promise<ReadableStream<Uint8Array>>;

/**
 * Reads the stream into a recorder until the signal, over as many connections as it takes: each goes on behind the last reading.
 *
 * @param tell Takes what keeps readings from coming, null where they come.
 */
export async function follow(open: Open, recorder: RateRecorder, tell: (failure: ApiError | null) => void, signal: AbortSignal): Promise<void> {
  let pause = PAUSE.first;
  const over = () => signal.aborted;
  while (!over()) {
    try {
      const reading = new Reading(recorder, tell);
      for await (const block of blocks(await open(recorder.id, signal))) {
        if (over()) return;
        reading.take(block);
        if (block.kind === "reading") pause = PAUSE.first;
      }
    } catch (error) {
      if (over()) return;
      tell(error instanceof ApiError ? error : unreadable(explain(error)));
    }
    await sleep(pause * (0.5 + Math.random() / 2), signal);
    pause = Math.min(pause * 2, PAUSE.last);
  }
}

/** What comes by one connection. */
class Reading {
  /** What was kept for us, until all of it is here: only then it is known how long ago that was. */
  #kept: Block[] | null = [];
  /** How much later it is by this browser's clock than by the data plane's. */
  #offset = 0;

  constructor(
    private readonly recorder: RateRecorder,
    private readonly tell: (failure: ApiError | null) => void,
  ) {}

  take(block: Block): void {
    if (this.#kept && block.kind) {
      this.#kept.push(block);
      return;
    }
    const kept = [...(this.#kept ?? []), block].map(({ kind, ...rest }) => ({ ...rest, kind, stats: kind === "reading" ? dataplaneStats(JSON.parse(rest.data)) : null }));
    this.#kept = null;
    const latest = kept.findLast(({ stats }) => stats)?.stats;
    const here = latest ? Date.now() - Date.parse(latest.timestamp) : this.#offset;
    if (Math.abs(here - this.#offset) > DRIFT) this.#offset = here;
    for (const { id, kind, data, stats } of kept) {
      if (stats) this.#add(id, stats, kept.length > 1);
      else if (kind === "away") this.tell(away(data));
    }
  }

  #add(id: string, stats: DataplaneStats, old: boolean): void {
    const taken = Date.parse(stats.timestamp);
    this.recorder.id = id;
    // After a loss all that is kept comes, and some of it may be here already.
    if (old && taken <= this.recorder.taken) return;
    this.recorder.add(stats, taken + this.#offset);
    this.tell(null);
  }
}

function away(data: string): ApiError {
  const { code, detail } = anything(JSON.parse(data));
  return new ApiError(503, text(code), text(detail));
}

function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
