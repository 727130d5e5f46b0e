import type { ClientRequest, IncomingHttpHeaders, OutgoingHttpHeaders } from "node:http";
import { pipeline } from "node:stream";
import type { Request, RequestHandler, Response } from "express";
import type { Logger } from "pino";
import { Refusal, refuse } from "./answers";
import { Bodies } from "./body";
import { connectionAge } from "./connections";
import { HEADER, requestId } from "./requests";
import { plain } from "./trust";
import type { Upstream } from "./upstream";

/** How long the API may stay silent, connecting included (milliseconds). */
export const API_TIMEOUT = 30_000;

/** Methods that change nothing: they may share connections, and be sent again over a new one. */
const SAFE = new Set(["GET", "HEAD"]);

/** The API wants to be asked over another connection (RFC 9110, section 15.5.20). */
const MISDIRECTED = 421;

export const UNREACHABLE = new Refusal(502, "api_unreachable", "The API cannot be reached; try again shortly.");

/** What `Live` passes on to all who read it, who found a way to ask for it past that would have one of the API's few alone. */
const STREAM = "text/event-stream";
const BYPASS = new Refusal(400, "bad_request", "Events are asked for at their address as it is written.");

/** Of one connection only (RFC 9110, section 7.6.1); `expect` was answered by Node, and the body is here. */
const HOP_BY_HOP = ["connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/** What this server says itself, of its own connection and of the client. */
const OWN = ["host", "content-length", "forwarded", "x-forwarded-host", HEADER.toLowerCase()];

const isApi = (path: string) => path === "/api" || path.startsWith("/api/");

/**
 * Hands everything below /api to the REST API, each request once it is here in full.
 *
 * What changes something has a connection of its own: the API may close one that was kept at any moment, and nobody can
 * tell whether a request that was sent into that moment was carried out.
 */
export function apiProxy(upstream: Upstream, log: Logger, timeout = API_TIMEOUT): RequestHandler {
  const bodies = new Bodies();

  return async (request, response, next) => {
    if (!isApi(request.path)) {
      next();
      return;
    }
    try {
      forward(request, response, await bodies.read(request));
    } catch (error) {
      if (error instanceof Refusal) refuse(response, error);
      else response.destroy();
    }
  };

  function forward(request: Request, response: Response, body: Buffer, again = false): void {
    const safe = SAFE.has(request.method);
    let outgoing: ClientRequest;
    try {
      const options = { method: request.method, path: request.originalUrl, headers: toApi(request, body) };
      outgoing = upstream.request(options, safe && !again);
    } catch (error) {
      report(request, error as Error);
      refuse(response, UNREACHABLE);
      return;
    }
    let late = false;
    const silence = setTimeout(() => {
      late = true;
      outgoing.destroy(new Error(`silent for ${timeout} ms`));
    }, timeout);
    response.once("close", () => {
      clearTimeout(silence);
      // Nobody waits for the rest: the API may stop, too.
      if (!response.writableFinished) outgoing.destroy();
    });

    outgoing.on("response", (incoming) => {
      if (incoming.headers["content-type"]?.startsWith(STREAM) && request.method === "GET") {
        outgoing.destroy();
        refuse(response, BYPASS);
        return;
      }
      silence.refresh();
      incoming.on("data", () => silence.refresh());
      // The client's next try comes over another one, once this one is closed.
      if (incoming.statusCode === MISDIRECTED) response.set("connection", "close");
      response.writeHead(incoming.statusCode ?? 502, endToEnd(incoming.headers));
      // Where the API breaks off, so does this server: only a broken connection tells the client so.
      pipeline(incoming, response, (error) => {
        if (error && !response.writableFinished) report(request, error);
      });
    });
    outgoing.on("error", (error) => {
      clearTimeout(silence);
      if (response.destroyed || response.headersSent) return;
      if (wasClosed(outgoing, error) && safe && !again) {
        forward(request, response, body, true);
        return;
      }
      report(request, error);
      refuse(
        response,
        late
          ? new Refusal(504, "api_timeout", "The API did not answer in time; try again shortly.")
          : UNREACHABLE,
      );
    });
    outgoing.end(body);
  }

  function report(request: Request, error: Error): void {
    log.error({ request_id: requestId(request), method: request.method, path: request.path, reason: error.message }, "API request failed");
  }
}

/** Whether a kept connection had ended before the request came. */
function wasClosed(outgoing: ClientRequest, error: NodeJS.ErrnoException): boolean {
  return outgoing.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
}

/** The request's headers, and who sent it. What the client itself claims is dropped, unless a trusted proxy said it. */
function toApi(request: Request, body: Buffer): OutgoingHttpHeaders {
  return {
    ...endToEnd(request.headers, OWN),
    ...(body.length > 0 || !SAFE.has(request.method) ? { "content-length": body.length } : {}),
    "x-forwarded-for": plain(request.ip ?? ""),
    "x-forwarded-proto": request.protocol,
    [HEADER.toLowerCase()]: requestId(request),
    "x-connection-age": connectionAge(request).toFixed(3),
    // HTTP/1.0 may do without.
    ...(request.host ? { "x-forwarded-host": request.host } : {}),
  };
}

/** The headers that are meant for the other end. */
function endToEnd(headers: IncomingHttpHeaders, others: readonly string[] = []): IncomingHttpHeaders {
  const dropped = new Set([...HOP_BY_HOP, ...others, ...(headers.connection ?? "").toLowerCase().split(/[\s,]+/)]);
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !dropped.has(name)));
}
