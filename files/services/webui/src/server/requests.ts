import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** As the API has it. */
export const HEADER = "X-Request-ID";
const WELL_FORMED = /^[A-Za-z0-9._-]{1,64}$/;

const names = new WeakMap<IncomingMessage, string>();

export const newRequestId = () => randomUUID().replaceAll("-", "");

/** The name of a request, by which its lines in the logs of all services are found: the client's own where it is well-formed. */
export function requestId(request: IncomingMessage): string {
  const given = request.headers[HEADER.toLowerCase()];
  const name = names.get(request) ?? (typeof given === "string" && WELL_FORMED.test(given) ? given : newRequestId());
  names.set(request, name);
  return name;
}
