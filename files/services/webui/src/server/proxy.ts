import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Request, RequestHandler, Response } from "express";
import { createProxyMiddleware } from "http-proxy-middleware";
import type { Logger } from "pino";

/** How long the API may stay silent, connecting included (milliseconds). */
export const API_TIMEOUT = 30_000;

const isApi = (path: string) => path === "/api" || path.startsWith("/api/");

/**
 * Hands everything below /api to the REST API, byte for byte.
 *
 * No body parser may run before it: a parser drains the request, and the proxy would wait for a body that never comes.
 * Each request has a connection of its own: the API closes idle ones after 2 s, and a POST sent into that moment is lost.
 */
export function apiProxy(target: URL, log: Logger, timeout = API_TIMEOUT): RequestHandler {
  const late = new WeakSet<IncomingMessage>();

  return createProxyMiddleware<Request, Response>({
    target: target.origin,
    changeOrigin: true,
    pathFilter: isApi,
    on: {
      proxyReq(outgoing, request) {
        forward(outgoing, request);
        outgoing.setTimeout(timeout);
        const giveUp = () => {
          late.add(request);
          outgoing.destroy(new Error(`no answer within ${timeout} ms`));
        };
        outgoing.on("timeout", giveUp);
        // A request's timeout starts with its connection; a host that drops packets never gets that far.
        outgoing.once("socket", (socket) => {
          socket.setTimeout(timeout);
          socket.on("timeout", giveUp);
        });
      },
      error(error, request, response) {
        const timedOut = late.has(request);
        log.error({ method: request.method, path: request.path, reason: error.message }, "API request failed");
        fail(response, timedOut);
      },
    },
  });
}

/** Names the client to the API. What the client itself claims is dropped, unless a trusted proxy said it. */
function forward(outgoing: ClientRequest, request: Request): void {
  outgoing.removeHeader("forwarded");
  outgoing.setHeader("x-forwarded-for", request.ip ?? "");
  outgoing.setHeader("x-forwarded-proto", request.protocol);
  outgoing.setHeader("x-forwarded-host", request.host);
}

function fail(response: Response | Socket, timedOut: boolean): void {
  if (!("headersSent" in response) || response.headersSent) {
    // Half an answer is out already: only a broken connection tells the client so.
    response.destroy();
  } else if (timedOut) {
    response.status(504).json({ error: "The API did not answer in time; try again shortly.", code: "api_timeout" });
  } else {
    response.status(502).json({ error: "The API cannot be reached; try again shortly.", code: "api_unreachable" });
  }
}
