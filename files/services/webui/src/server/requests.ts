import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** As the API has it. */
export const HEADER = "X-Request-ID";
const FIELD = HEADER.toLowerCase();
const WELL_FORMED = /^[A-Za-z0-9._-]{1,64}$/;

const names = new WeakMap<IncomingMessage, string>();

export const newRequestId = () => randomUUID().replaceAll("-", "");

/** The name of a request, by which its lines in the logs of all services are found: the client's own where it is well-formed. */
export function requestId(request: IncomingMessage): string {
  const before = names.get(request);
  if (before !== undefined) return before;
  const given = request.headers[FIELD];
  const name = typeof given === "string" && WELL_FORMED.test(given) ? given : newRequestId();
  names.set(request, name);
  return name;
}

/** The path of a request's target, without its query. */
export function pathOf(request: IncomingMessage): string {
  const target = request.url ?? "";
  // A target may name the host, too (RFC 9112, section 3.2.2).
  if (!target.startsWith("/") && URL.canParse(target)) return new URL(target).pathname;
  const query = target.indexOf("?");
  return query < 0 ? target : target.slice(0, query);
}
