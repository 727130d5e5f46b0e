import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { RequestHandler } from "express";

const vouched = new WeakSet<IncomingMessage>();

/** Whether the front on this host brought a request. */
export const isVouched = (request: IncomingMessage): boolean => vouched.has(request);

/** Believes the front on this host, whose address says nothing, as everybody on the host comes from it: it alone knows the secret. */
export function believeFront(secret: string | undefined): RequestHandler {
  return (request, _response, next) => {
    const given = request.get("x-front-secret");
    delete request.headers["x-front-secret"];
    if (secret && given && same(given, secret)) {
      vouched.add(request);
      const ip = request.get("x-forwarded-for") ?? "";
      const facts = {
        ...(isIP(ip) ? { ip } : {}),
        protocol: request.get("x-forwarded-proto") ?? request.protocol,
        host: request.get("x-forwarded-host") ?? request.host,
      };
      for (const [name, value] of Object.entries(facts)) Object.defineProperty(request, name, { value });
    }
    next();
  };
}

function same(one: string, other: string): boolean {
  const [first, second] = [Buffer.from(one), Buffer.from(other)];
  return first.length === second.length && timingSafeEqual(first, second);
}
