import { once } from "node:events";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import path from "node:path";
import compression from "compression";
import express, { type ErrorRequestHandler, type Request } from "express";
import helmet from "helmet";
import type { Logger } from "pino";
import { PAGES } from "../shared/pages";
import { linger, Refusal, refuse } from "./answers";
import { clientOf, Clients } from "./client";
import type { Config } from "./config";
import { EVENTS, Live } from "./live";
import { apiProxy, isApi } from "./proxy";
import { HEADER, pathOf, requestId } from "./requests";
import { Upstream } from "./upstream";

export interface Options {
  config: Config;
  log: Logger;
  /** Directory of the built client. */
  client: string;
  /** True once the server was told to stop. */
  stopping: () => boolean;
  /** How long the API may stay silent (milliseconds). */
  apiTimeout?: number;
}

const PROBE_TIMEOUT = 2_000;

const BAD_REQUEST = new Refusal(400, "bad_request", "The request cannot be understood.");
const FAILED = new Refusal(500, "internal_error", "The web interface failed; its log has the details.");

const ADDRESSES = new Set<string>(Object.values(PAGES));

/** Of every answer. */
const HEADERS = headersOf(
  helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'"],
        fontSrc: ["'self'"],
        imgSrc: ["'self'"],
        connectSrc: ["'self'"],
        formAction: ["'self'"],
        baseUri: ["'none'"],
        frameAncestors: ["'none'"],
      },
    },
    // Whoever ends TLS decides this for the whole host; over plain HTTP browsers ignore it.
    strictTransportSecurity: false,
    xFrameOptions: { action: "deny" },
  }),
);

/** The web interface: the API below /api, and pages of the client. */
export function createApp(options: Options): RequestListener {
  const { config, log, stopping, apiTimeout } = options;
  const upstream = new Upstream(config.apiUrl, config.authority);
  const clients = new Clients(config.trustedProxies, config.frontSecret);
  const live = new Live(upstream, log, stopping);
  const proxy = apiProxy(upstream, log, apiTimeout);
  const pages = createPages(options, upstream, live, proxy);

  return (request, response) => {
    clients.meet(request);
    note(log, request, response);
    response.on("finish", () => linger(request));
    for (const [name, value] of HEADERS) response.setHeader(name, value);
    response.setHeader(HEADER, requestId(request));
    // Only HTTP/1.0 may do without (RFC 9112, section 3.2).
    if (!request.headers.host && request.httpVersion !== "1.0") refuse(response, BAD_REQUEST);
    else if (isApi(request.url ?? "") && !request.url?.startsWith(EVENTS)) proxy(request, response);
    else pages(request, response);
  };
}

/** Writes a line of the log once a request is answered, or its client gone. */
function note(log: Logger, request: IncomingMessage, response: ServerResponse): void {
  const start = performance.now();
  response.on("close", () => {
    // The path alone: neither query, headers nor body, so that no token can reach the log.
    const path = pathOf(request);
    const probe = path === "/healthz" || path === "/readyz";
    log[probe ? "debug" : "info"](
      {
        request_id: requestId(request),
        method: request.method,
        path,
        status: response.statusCode,
        aborted: !response.writableFinished,
        ms: Math.round(performance.now() - start),
        client: clientOf(request).ip,
      },
      "request",
    );
  });
}

/** What a piece of Express's would set, which is the same for every answer. */
function headersOf(handler: ReturnType<typeof helmet>): [name: string, value: string][] {
  const found = new Map<string, string>();
  const answer: unknown = { setHeader: (name: string, value: string) => found.set(name, value), removeHeader: (name: string) => found.delete(name) };
  const nobody: unknown = {};
  handler(nobody as IncomingMessage, answer as ServerResponse, () => undefined);
  return [...found];
}

function createPages({ client, stopping, log }: Options, upstream: Upstream, live: Live, proxy: RequestListener): RequestListener {
  const app = express();
  app.set("query parser", "simple");
  app.disable("x-powered-by");

  app.get("/healthz", (_request, response) => {
    response.json({ status: "healthy" });
  });
  app.get("/readyz", async (_request, response) => {
    if (stopping()) {
      refuse(response, new Refusal(503, "stopping", "The web interface is stopping."));
    } else if (await answers(upstream, "/readyz")) {
      response.json({ status: "ready" });
    } else {
      refuse(response, new Refusal(503, "api_not_ready", "The API is not ready."));
    }
  });

  app.get(EVENTS, live.handler);
  // What names the host in its target, and what the stream of events leaves to the API.
  app.use((request, response, next) => {
    if (isApi(request.path)) proxy(request, response);
    else next();
  });

  app.use(compression());
  // Names under /assets hold a hash of their content: what changes gets another name.
  app.use("/assets", express.static(path.join(client, "assets"), { immutable: true, maxAge: "1y", index: false }));
  app.use(express.static(client, { index: false, maxAge: "1h" }));
  app.use((request, response, next) => {
    const known = ADDRESSES.has(request.path.replace(/(?<=.)\/+$/, ""));
    if (!isRead(request) || !(known ? request.accepts("html") : isVisit(request))) {
      next();
      return;
    }
    // A person who is lost gets a page that says so; a program gets none.
    response.status(known ? 200 : 404).set("cache-control", "no-cache").sendFile("index.html", { root: client });
  });
  app.use((_request, response) => refuse(response, new Refusal(404, "not_found", "There is nothing at this address.")));
  const failed: ErrorRequestHandler = (error: Error & { status?: number }, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const known = error.status !== undefined && error.status < 500;
    if (!known) log.error({ request_id: requestId(request), path: request.path, reason: error.message }, "request failed");
    refuse(response, known ? BAD_REQUEST : FAILED);
  };
  app.use(failed);
  return app;
}

const isRead = (request: Request) => request.method === "GET" || request.method === "HEAD";

/** Whether a browser goes to an address, rather than a script or a program, to which anything will do. */
function isVisit(request: Request): boolean {
  const last = request.path.slice(request.path.lastIndexOf("/") + 1);
  return !last.includes(".") && request.accepts("json", "html") === "html";
}

async function answers(upstream: Upstream, path: string): Promise<boolean> {
  try {
    const asked = upstream.request({ path, signal: AbortSignal.timeout(PROBE_TIMEOUT) }, false).end();
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    response.destroy();
    return response.statusCode === 200;
  } catch {
    return false;
  }
}
