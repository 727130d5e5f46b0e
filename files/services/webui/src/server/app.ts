import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import path from "node:path";
import compression from "compression";
import express, { type ErrorRequestHandler, type Express, type Request } from "express";
import helmet from "helmet";
import type { Logger } from "pino";
import { PAGES } from "../shared/pages";
import { linger, Refusal, refuse } from "./answers";
import type { Config } from "./config";
import { believeFront } from "./front";
import { EVENTS, Live } from "./live";
import { apiProxy } from "./proxy";
import { HEADER, requestId } from "./requests";
import { plain } from "./trust";
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
const EXPECTATION = new Refusal(417, "expectation_failed", "Nothing is expected here but 100-continue.");
const FAILED = new Refusal(500, "internal_error", "The web interface failed; its log has the details.");

const ADDRESSES = new Set<string>(Object.values(PAGES));

export function createApp({ config, log, client, stopping, apiTimeout }: Options): Express {
  const app = express();
  app.set("trust proxy", config.trustedProxies);
  app.set("query parser", "simple");
  app.use(believeFront(config.frontSecret));
  const upstream = new Upstream(config.apiUrl, config.authority);

  app.use((request, response, next) => {
    const start = performance.now();
    response.set(HEADER, requestId(request));
    response.on("close", () => {
      const probe = request.path === "/healthz" || request.path === "/readyz";
      // The path alone: neither query, headers nor body, so that no token can reach the log.
      log[probe ? "debug" : "info"](
        {
          request_id: requestId(request),
          method: request.method,
          path: request.path,
          status: response.statusCode,
          aborted: !response.writableFinished,
          ms: Math.round(performance.now() - start),
          client: plain(request.ip ?? ""),
        },
        "request",
      );
    });
    next();
  });
  app.use(linger);
  app.use(
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

  app.use((request, response, next) => {
    // Only HTTP/1.0 may do without (RFC 9112, section 3.2).
    if (!request.headers.host && request.httpVersion !== "1.0") refuse(response, BAD_REQUEST);
    else if (expectsMore(request)) refuse(response, EXPECTATION);
    else next();
  });
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

  app.get(EVENTS, new Live(upstream, log, stopping).handler);
  app.use(apiProxy(upstream, log, apiTimeout));

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

/** Whether a request expects what no server here does; HTTP/1.0 knows no expectations (RFC 9110, section 10.1.1). */
const expectsMore = ({ headers, httpVersion }: Request) => httpVersion !== "1.0" && headers.expect !== undefined && !/^100-continue$/i.test(headers.expect);

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
