import type { ClientRequest, IncomingMessage } from "node:http";
import type { Logger } from "pino";
import { Ring } from "./ring";
import { Blocks, notice } from "./sse";
import type { Upstream } from "./upstream";

/** Between two tries to reach the API: at first, and at most; a random half of it is left out (milliseconds, as below). */
const PAUSE = { first: 500, last: 8_000 };
/** The API says something every 5 s. */
const SILENCE = 15_000;
/** After the last reader has left. */
const LINGER = 5_000;
/** How long a reader waits for what the API has kept. */
const PATIENCE = 2_000;

/** The one stream that this server reads of the API, while anybody here reads it. */
export class Source {
  readonly ring = new Ring();
  #asked: ClientRequest | null = null;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #away = false;
  #wanted = false;
  /** Whether all that the API had kept is here. */
  #complete = false;
  #waiting: (() => void)[] = [];
  #turn = 0;

  /**
   * @param tokens Of the present readers, with any of which the API may be asked; see docs/decisions/0099.
   * @param came Called after something was added to the ring.
   */
  constructor(
    private readonly upstream: Upstream,
    private readonly log: Logger,
    private readonly tokens: () => string[],
    private readonly came: () => void,
  ) {}

  /** Reads from now on, and resolves once there is what the API has kept, or it does not answer. */
  async open(): Promise<void> {
    this.#wanted = true;
    if (!this.#asked && !this.#timer) this.#connect();
    if (this.#complete || this.#away) return;
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, PATIENCE);
      this.#waiting.push(() => {
        clearTimeout(late);
        resolve();
      });
    });
  }

  /** Reads no more, unless somebody comes soon. */
  leave(): void {
    this.#wanted = false;
    setTimeout(() => {
      if (this.#wanted) return;
      clearTimeout(this.#timer);
      this.#timer = undefined;
      this.#asked?.destroy();
    }, LINGER).unref();
  }

  #connect(): void {
    this.#timer = undefined;
    const tokens = this.tokens();
    // Another one each time: what one of them may not any more, others may.
    const token = tokens[this.#turn++ % Math.max(tokens.length, 1)];
    if (!this.#wanted || token === undefined) return;
    let asked: ClientRequest;
    try {
      asked = this.upstream.request({ path: "/api/v1/events?begin=oldest", headers: this.#headers(token) }, false);
    } catch (error) {
      this.#failed((error as Error).message);
      return;
    }
    this.#asked = asked;
    const silence = setTimeout(() => asked.destroy(new Error(`silent for ${SILENCE} ms`)), SILENCE);
    let reason = "the API ended it";
    let over = false;
    const blocks = new Blocks(({ id, kind, text }) => {
      if (kind === "end") over = true;
      else if (kind) this.#add(id, Buffer.from(text), kind);
      else if (text.startsWith(":")) this.#completed();
    });
    asked.on("response", (response: IncomingMessage) => {
      if (response.statusCode !== 200) {
        reason = `the API answered ${response.statusCode ?? 0}`;
        asked.destroy();
        return;
      }
      response.setEncoding("utf8");
      response.on("data", (piece: string) => {
        silence.refresh();
        try {
          blocks.feed(piece);
        } catch (error) {
          asked.destroy(error as Error);
        }
        this.came();
      });
      response.on("error", (error) => (reason = error.message));
    });
    asked.on("error", (error) => (reason = error.message));
    asked.on("close", () => {
      clearTimeout(silence);
      this.#asked = null;
      this.#complete = false;
      if (!this.#wanted) return;
      if (over) this.#again(PAUSE.first / 2);
      else this.#failed(reason);
    });
    asked.end();
  }

  #headers(token: string): Record<string, string> {
    const { latest } = this.ring;
    return { accept: "text/event-stream", authorization: `Bearer ${token}`, ...(latest ? { "last-event-id": latest } : {}) };
  }

  #add(id: string, bytes: Buffer, kind: string): void {
    this.ring.add({ id, bytes });
    if (kind === "reading") {
      this.#failures = 0;
      this.#away = false;
    }
  }

  #completed(): void {
    this.#complete = true;
    this.#failures = 0;
    this.#away = false;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #failed(reason: string): void {
    this.#failures += 1;
    // The first try after a stream that went on may hit an API that is just starting anew.
    if (this.#failures > 1 && !this.#away) {
      this.#away = true;
      this.log.error({ reason }, "the API's events cannot be read");
      this.ring.add({ id: "", bytes: notice("away", { code: "api_unreachable", detail: "The API cannot be reached." }) });
      this.came();
      for (const resolve of this.#waiting.splice(0)) resolve();
    }
    this.#again(Math.min(PAUSE.first * 2 ** (this.#failures - 1), PAUSE.last));
  }

  #again(pause: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), pause * (0.5 + Math.random() / 2));
    this.#timer.unref();
  }
}
