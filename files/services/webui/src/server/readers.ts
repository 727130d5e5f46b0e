import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { json } from "node:stream/consumers";
import type { Upstream } from "./upstream";

/** How long to wait for others who come at the same time (milliseconds, as below). */
const GATHER = 10;
const TIMEOUT = 3_000;
/** Tokens of one question; the API takes 256, of 600 characters at most. */
const AT_ONCE = 200;

/** What a token may be (RFC 6750, section 2.1); of any other the API says itself what is wrong with it. */
export const TOKEN = /^[A-Za-z0-9._~+/=-]{1,600}$/;

/** Whether a token is good for the stream of events, as the API says. */
export interface Standing {
  allowed: boolean;
  status: number;
  code: string | null;
  detail: string | null;
}

type Asking = (answer: Promise<Standing>) => void;

/** Asks the API about tokens: one question for all who come at the same time, however many they are. */
export class Readers {
  #waiting = new Map<string, Asking[]>();

  constructor(private readonly upstream: Upstream) {}

  /** @throws Error The API does not say. */
  check(token: string): Promise<Standing> {
    return new Promise((resolve) => {
      if (this.#waiting.size === 0) setTimeout(() => this.#flush(), GATHER);
      this.#waiting.set(token, [...(this.#waiting.get(token) ?? []), resolve]);
    });
  }

  #flush(): void {
    const all = [...this.#waiting];
    this.#waiting.clear();
    for (let at = 0; at < all.length; at += AT_ONCE) {
      const some = all.slice(at, at + AT_ONCE);
      const answers = this.#ask(some.map(([token]) => token));
      some.forEach(([, asking], index) => {
        const mine = answers.then((found) => {
          const standing = found[index];
          if (!standing) throw new Error("the API left a token out");
          return standing;
        });
        for (const resolve of asking) resolve(mine);
      });
    }
  }

  async #ask(tokens: string[]): Promise<Standing[]> {
    try {
      return await this.#post(tokens, true);
    } catch {
      // A kept connection may have ended just now.
      return this.#post(tokens, false);
    }
  }

  async #post(tokens: string[], shared: boolean): Promise<Standing[]> {
    const body = Buffer.from(JSON.stringify({ tokens }));
    const headers = { "content-type": "application/json", "content-length": body.length };
    const options = { method: "POST", path: "/api/v1/events/readers", headers, signal: AbortSignal.timeout(TIMEOUT) };
    const asked = this.upstream.request(options, shared).end(body);
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    const answer = (await json(response)) as { readers?: Standing[] };
    if (response.statusCode !== 200 || !Array.isArray(answer.readers)) throw new Error(`the API answered ${response.statusCode ?? 0}`);
    return answer.readers;
  }
}
