import { type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http";
import { requestId } from "./requests";

/** How long a client may go on with a body that nobody waits for any more (milliseconds). */
const LINGER = 2_000;

/** What this server refuses by itself, in the API's one form of errors. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }
}

export const PROBLEM = "application/problem+json";

/** An error as the API has it (RFC 9457). */
export function problem({ status, code, message }: Pick<Refusal, "status" | "code" | "message">, request: string): string {
  return JSON.stringify({
    type: "about:blank",
    title: STATUS_CODES[status] ?? "",
    status,
    detail: message,
    code,
    request_id: request,
    // For pages that were opened before the upgrade from release 1.0.0, as the API has it.
    error: message,
  });
}

export function refuse(response: ServerResponse, refusal: Refusal): void {
  const body = Buffer.from(problem(refusal, requestId(response.req)));
  response.writeHead(refusal.status, { ...refusal.headers, "content-type": PROBLEM, "content-length": body.length }).end(body);
}

/**
 * Lets a client that was answered early read the answer: closed at once, a connection with unread data is reset, and the
 * answer may be lost with it.
 */
export function linger(request: IncomingMessage): void {
  if (request.complete) return;
  request.resume();
  setTimeout(() => {
    if (!request.complete) request.destroy();
  }, LINGER).unref();
}
