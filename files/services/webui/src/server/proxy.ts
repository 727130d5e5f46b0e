import type { ClientRequest, IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Logger } from "pino";
import { Refusal, refuse } from "./answers";
import { Bodies, hasBody } from "./body";
import { clientOf } from "./client";
import { HEADER, pathOf, requestId } from "./requests";
import type { Upstream } from "./upstream";

/** How long the API may stay silent, connecting included (milliseconds). */
export const API_TIMEOUT = 30_000;

/** Methods that change nothing: they may share connections, and be sent again over a new one. */
const SAFE = new Set(["GET", "HEAD"]);

/** The API wants to be asked over another connection (RFC 9110, section 15.5.20). */
const MISDIRECTED = 421;

export const UNREACHABLE = new Refusal(502, "api_unreachable", "The API cannot be reached; try again shortly.");

/** Of one connection only (RFC 9110, section 7.6.1); `expect` was answered by Node, and the body is here. */
const HOP_BY_HOP = ["connection", "expect", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

const NOT_TO_CLIENTS: ReadonlySet<string> = new Set(HOP_BY_HOP);
/** With what this server says itself, of its own connection and of the client. */
const NOT_TO_API: ReadonlySet<string> = new Set([...HOP_BY_HOP, "host", "content-length", "forwarded", "x-forwarded-host"]);

const NOTHING = Buffer.alloc(0);

/** Whether a request is the API's, by its target as it came. */
export const isApi = (target: string) => target.startsWith("/api") && /^\/api(?:[/?]|$)/.test(target);

/**
 * Hands requests to the REST API, each once it is here in full.
 *
 * What changes something has a connection of its own: the API may close one that was kept at any moment, and nobody can
 * tell whether a request that was sent into that moment was carried out.
 *
 * Every request of the web interface comes through here, so it takes the server of Node itself, with nothing between.
 */
export function apiProxy(upstream: Upstream, log: Logger, timeout = API_TIMEOUT): (request: IncomingMessage, response: ServerResponse) => void {
  const bodies = new Bodies();

  return (request, response) => {
    if (!hasBody(request)) {
      forward(request, response, NOTHING);
      return;
    }
    bodies.read(request).then(
      (body) => forward(request, response, body),
      (error: unknown) => {
        if (error instanceof Refusal) refuse(response, error);
        else response.destroy();
      },
    );
  };

  function forward(request: IncomingMessage, response: ServerResponse, body: Buffer, again = false): void {
    const method = request.method ?? "GET";
    const safe = SAFE.has(method);
    let outgoing: ClientRequest;
    try {
      outgoing = upstream.request({ method, path: request.url, headers: toApi(request, body, safe) }, safe && !again);
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
      silence.refresh();
      // The client's next try comes over another one, once this one is closed.
      if (incoming.statusCode === MISDIRECTED) response.setHeader("connection", "close");
      response.writeHead(incoming.statusCode ?? 502, endToEnd(incoming.headers, NOT_TO_CLIENTS));
      incoming.on("data", (chunk: Buffer) => {
        silence.refresh();
        if (response.write(chunk)) return;
        incoming.pause();
        response.once("drain", () => incoming.resume());
      });
      incoming.on("end", () => response.end());
      // Where the API breaks off, so does this server: only a broken connection tells the client so.
      incoming.on("error", (error) => {
        if (response.destroyed) return;
        report(request, error);
        response.destroy();
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
    // An empty one would be a write of its own.
    if (body.length > 0) outgoing.end(body);
    else outgoing.end();
  }

  function report(request: IncomingMessage, error: Error): void {
    log.error({ request_id: requestId(request), method: request.method, path: pathOf(request), reason: error.message }, "API request failed");
  }
}

/** Whether a kept connection had ended before the request came. */
function wasClosed(outgoing: ClientRequest, error: NodeJS.ErrnoException): boolean {
  return outgoing.reusedSocket && (error.code === "ECONNRESET" || error.code === "EPIPE");
}

/** The request's headers, and who sent it. What the client itself claims is dropped, unless a trusted proxy said it. */
function toApi(request: IncomingMessage, body: Buffer, safe: boolean): OutgoingHttpHeaders {
  const client = clientOf(request);
  const headers = endToEnd(request.headers, NOT_TO_API);
  if (body.length > 0 || !safe) headers["content-length"] = body.length;
  headers["x-forwarded-for"] = client.ip;
  headers["x-forwarded-proto"] = client.protocol;
  headers[HEADER.toLowerCase()] = requestId(request);
  headers["x-connection-age"] = client.age.toFixed(3);
  if (client.host) headers["x-forwarded-host"] = client.host;
  return headers;
}

/** The headers that are meant for the other end. */
function endToEnd(headers: IncomingHttpHeaders, dropped: ReadonlySet<string>): OutgoingHttpHeaders {
  const kept: OutgoingHttpHeaders = {};
  const connection = headers.connection?.toLowerCase();
  const plain = connection === undefined || connection === "keep-alive" || connection === "close";
  const named = plain ? undefined : new Set(connection.split(/[\s,]+/));
  for (const name in headers) {
    if (!dropped.has(name) && !named?.has(name)) kept[name] = headers[name];
  }
  return kept;
}
