import type { Check } from "./check";

/** The API refused, did not answer, or what answered was not the API. */
export class ApiError extends Error {
  /**
   * @param status HTTP status; 0 where no answer came.
   * @param code The API's word for programs.
   * @param message The API's sentence for persons.
   */
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }

  /** Whether somebody else has changed meanwhile what this change was for. */
  get overtaken(): boolean {
    return this.status === 412;
  }

  /** Whether the API itself may never have seen the request, or its answer got lost. */
  get lost(): boolean {
    return this.status === 0 || this.code === UNEXPECTED || GATEWAY.has(this.status);
  }
}

const UNEXPECTED = "unexpected_answer";
const GATEWAY = new Set([502, 503, 504]);

/** Longer than the server waits for the API (milliseconds). */
const PATIENCE = 40_000;

export interface Call {
  method?: string;
  body?: unknown;
  accessToken?: string | undefined;
  /** The `etag` of the state that the change is for; empty where the API has none. */
  ifMatch?: string | undefined;
}

/**
 * Sends one request and returns what its answer was found to be.
 *
 * @param check What a good answer must be.
 */
export async function send<T>(path: string, check: Check<T>, { method = "GET", body, accessToken, ifMatch }: Call = {}): Promise<T> {
  const headers = new Headers({ accept: "application/json" });
  if (body !== undefined) headers.set("content-type", "application/json");
  if (accessToken) headers.set("authorization", `Bearer ${accessToken}`);
  if (ifMatch) headers.set("if-match", ifMatch);

  let response: Response;
  let answer: unknown;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      signal: AbortSignal.timeout(PATIENCE),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const content = await response.text();
    answer = response.status === 204 ? undefined : parse(content);
  } catch {
    throw offline();
  }
  if (!response.ok) throw refusal(response.status, answer);
  try {
    return check(answer);
  } catch (error) {
    throw unreadable(explain(error), response.status);
  }
}

/**
 * Opens a stream of events, and returns what comes, as text.
 *
 * @param last The id of the last reading that the caller has; empty for none.
 * @param signal Ends it.
 */
export async function openEvents(path: string, accessToken: string, last: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  const headers = new Headers({ accept: "text/event-stream", authorization: `Bearer ${accessToken}` });
  if (last) headers.set("last-event-id", last);
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, { headers, signal, cache: "no-store" });
  } catch {
    throw offline();
  }
  if (!response.ok) throw refusal(response.status, parse(await response.text()));
  if (!response.body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
    throw unreadable("no stream of events", response.status);
  }
  return response.body;
}

/** What to say of an answer that is none of the API's. */
export const unreadable = (what: string, status = 200) =>
  new ApiError(status, UNEXPECTED, `The server gave an answer that this page cannot read (${what}). Reload the page; if that does not help, something else answers in the API's place.`);

/** What to say where no answer came. */
export const offline = () => new ApiError(0, "offline", "The server cannot be reached; check the connection and try again.");

function parse(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return null;
  }
}

function refusal(status: number, answer: unknown): ApiError {
  if (typeof answer === "object" && answer && "detail" in answer && "code" in answer) {
    return new ApiError(status, String(answer.code), String(answer.detail));
  }
  return new ApiError(status, UNEXPECTED, `The server answered with status ${status} and no explanation.`);
}

export const isOvertaken = (error: unknown): boolean => error instanceof ApiError && error.overtaken;

/** The sentence to show for whatever was thrown. */
export function explain(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
