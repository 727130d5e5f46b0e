/** The API refused, or did not answer. */
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
}

/** Sends one request and returns its JSON; undefined for 204. */
export async function send<T>(path: string, method = "GET", body?: unknown, accessToken?: string): Promise<T> {
  const headers = new Headers({ accept: "application/json" });
  if (body !== undefined) headers.set("content-type", "application/json");
  if (accessToken) headers.set("authorization", `Bearer ${accessToken}`);

  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new ApiError(0, "offline", "The server cannot be reached; check the connection and try again.");
  }
  if (response.status === 204) return undefined as T;
  const answer: unknown = await response.json().catch(() => null);
  if (!response.ok) throw refusal(response.status, answer);
  return answer as T;
}

function refusal(status: number, answer: unknown): ApiError {
  if (typeof answer === "object" && answer && "error" in answer && "code" in answer) {
    return new ApiError(status, String(answer.code), String(answer.error));
  }
  return new ApiError(status, "unexpected_answer", `The server answered with status ${status} and no explanation.`);
}

/** The sentence to show for whatever was thrown. */
export function explain(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
