import type { Request, RequestHandler, Response } from "express";

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

export function refuse(response: Response, { status, code, message, headers }: Refusal): void {
  response.status(status).set(headers).json({ error: message, code });
}

/**
 * Lets a client that was answered early read the answer: closed at once, a connection with unread data is reset, and the
 * answer may be lost with it.
 */
export const linger: RequestHandler = (request: Request, response, next) => {
  response.on("finish", () => {
    if (request.complete) return;
    request.resume();
    setTimeout(() => {
      if (!request.complete) request.destroy();
    }, LINGER).unref();
  });
  next();
};
