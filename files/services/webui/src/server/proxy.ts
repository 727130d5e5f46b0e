import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { type Request, type RequestHandler, type Response, Router } from "express";
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

  const proxy = createProxyMiddleware<Request, Response>({
    target: target.origin,
    changeOrigin: true,
    pathFilter: isApi,
    on: {
      proxyReq(outgoing, request) {
        // On the socket, not the request: a request's timeout starts only once it is connected.
        outgoing.socket?.setTimeout(timeout, () => {
          late.add(request);
          outgoing.destroy(new Error(`silent for ${timeout} ms`));
        });
      },
      proxyRes(incoming, _request, response) {
        // Otherwise the client would wait for the rest of an answer that the API has broken off.
        incoming.on("close", () => {
          if (!incoming.complete) response.destroy();
        });
      },
      error(error, request, response) {
        log.error({ method: request.method, path: request.path, reason: error.message }, "API request failed");
        fail(response, late.has(request));
      },
    },
  });
  return Router().use(nameClient, proxy);
}

/** The client's address; IPv4 as such, though the listening socket is an IPv6 one and sees it mapped. */
export function clientAddress(request: Request): string {
  return (request.ip ?? "").replace(/^::ffff:(?=\d+\.)/, "");
}

/** Names the client to the API. What the client itself claims is dropped, unless a trusted proxy said it. */
const nameClient: RequestHandler = (request, _response, next) => {
  const { protocol, host, headers } = request;
  delete headers.forwarded;
  headers["x-forwarded-for"] = clientAddress(request);
  headers["x-forwarded-proto"] = protocol;
  headers["x-forwarded-host"] = host;
  // Node has answered it; passed on, it would make the proxy skip its proxyReq event, and with it the timeout.
  delete headers.expect;
  next();
};

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
