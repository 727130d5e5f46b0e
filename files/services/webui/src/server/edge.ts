import { createServer, type RequestListener, type Server, STATUS_CODES } from "node:http";
import { PROBLEM, problem } from "./answers";
import { accept } from "./client";
import { HEADER, newRequestId } from "./requests";

/** For the head of a request (milliseconds, as all below). */
const HEAD = 10_000;
/** For all of a request; what reads a body has its own, shorter deadline. */
const REQUEST = 45_000;
/** Without a byte in either direction: longer than the API may stay silent. */
const SILENCE = 60_000;
/** Between two requests. Longer than the 60 s of the usual fronts, or they would send one into a connection that is just closing. */
const KEPT = 65_000;
/** Between two looks at the deadlines. */
const CHECK = 1_000;

const CONNECTIONS = 4_096;

/** What Node's parser says, as an answer. */
const FAULTS: Record<string, readonly [status: number, code: string, message: string]> = {
  ERR_HTTP_REQUEST_TIMEOUT: [408, "request_timeout", "The request came too slowly."],
  HPE_HEADER_OVERFLOW: [431, "request_header_fields_too_large", "The headers of the request are too large."],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, "request_entity_too_large", "The chunks of the request have too long extensions."],
};
const MALFORMED = [400, "bad_request", "The request cannot be understood."] as const;

/** An HTTP server in which nobody holds a connection for as long as they like. */
export function createEdge(listener: RequestListener, connections = CONNECTIONS): Server {
  const server = createServer(
    {
      headersTimeout: HEAD,
      requestTimeout: REQUEST,
      keepAliveTimeout: KEPT,
      connectionsCheckingInterval: CHECK,
      // The application says so itself, in its own form.
      requireHostHeader: false,
    },
    listener,
  );
  server.timeout = SILENCE;
  server.maxConnections = connections;
  server.on("connection", accept);
  // Those that wait between two requests make room; their clients connect again.
  server.on("drop", () => server.closeIdleConnections());
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === "ECONNRESET" || error.code === "EPIPE") {
      socket.destroy();
      return;
    }
    const [status, code, message] = FAULTS[error.code ?? ""] ?? MALFORMED;
    // Nobody could read what the request calls itself.
    const request = newRequestId();
    const body = problem({ status, code, message }, request);
    socket.end(
      [
        `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}`,
        "Connection: close",
        `Content-Type: ${PROBLEM}`,
        `Content-Length: ${Buffer.byteLength(body)}`,
        `${HEADER}: ${request}`,
        "X-Content-Type-Options: nosniff",
        "",
        body,
      ].join("\r\n"),
    );
  });
  return server;
}
