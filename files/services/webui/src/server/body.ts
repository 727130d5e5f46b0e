import type { IncomingMessage } from "node:http";
import { Refusal } from "./answers";

/** The largest body there is, as the API has it (bytes). */
export const BODY_BYTES = 160 * 1024;

/** How long a body may take, as the API has it: at first, more for each byte that came, and at most (milliseconds). */
const DEADLINE = { first: 5_000, perByte: 1_000 / 8_192, last: 30_000 };

/** Bodies that are read at a time. */
const AT_ONCE = 256;

/** Whether a request has a body (RFC 9112, section 6). */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) !== 0;
}

/**
 * Reads requests' bodies as wholes, so that a slow one costs a socket here and nothing of the API.
 *
 * Where too many come at a time, the one that has been at it longest makes room: an honest one is there at once.
 */
export class Bodies {
  readonly #reading = new Set<(fault: Refusal) => void>();

  /**
   * @throws Refusal The body is too large or too slow.
   * @throws Error The client is gone.
   */
  async read(request: IncomingMessage): Promise<Buffer> {
    if (Number(request.headers["content-length"] ?? 0) > BODY_BYTES) throw tooLarge();
    return new Promise((resolve, reject) => {
      const start = performance.now();
      const chunks: Buffer[] = [];
      let size = 0;
      let timer = setTimeout(late, DEADLINE.first);
      const fail = (fault: Error) => {
        settle();
        reject(fault);
      };

      function late() {
        fail(new Refusal(408, "request_timeout", "The body of the request came too slowly."));
      }
      function take(chunk: Buffer) {
        size += chunk.length;
        if (size > BODY_BYTES) {
          fail(tooLarge());
          return;
        }
        chunks.push(chunk);
        clearTimeout(timer);
        const allowed = Math.min(DEADLINE.first + size * DEADLINE.perByte, DEADLINE.last);
        timer = setTimeout(late, start + allowed - performance.now());
      }
      function end() {
        settle();
        resolve(Buffer.concat(chunks));
      }
      function gone() {
        fail(new Error("the client is gone"));
      }
      const settle = () => {
        clearTimeout(timer);
        this.#reading.delete(fail);
        request.off("data", take).off("end", end).off("close", gone);
      };

      const [oldest] = this.#reading;
      if (oldest && this.#reading.size >= AT_ONCE) {
        oldest(new Refusal(503, "overloaded", "Too many requests are on their way; try again shortly.", { "retry-after": "1" }));
      }
      this.#reading.add(fail);
      // Some clients break off with an error, which nobody else would hear.
      request.on("data", take).on("end", end).on("close", gone).on("error", gone);
    });
  }
}

function tooLarge(): Refusal {
  return new Refusal(413, "request_entity_too_large", `The body is larger than ${BODY_BYTES} bytes.`);
}
