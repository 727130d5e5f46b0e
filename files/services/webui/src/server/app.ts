import path from "node:path";
import compression from "compression";
import express, { type ErrorRequestHandler, type Express, type Request } from "express";
import helmet from "helmet";
import type { Logger } from "pino";
import type { Config } from "./config";
import { apiProxy, clientAddress } from "./proxy";

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

export function createApp({ config, log, client, stopping, apiTimeout }: Options): Express {
  const app = express();
  app.set("trust proxy", config.trustedProxies);
  app.set("query parser", "simple");

  app.use((request, response, next) => {
    const start = performance.now();
    response.on("close", () => {
      const probe = request.path === "/healthz" || request.path === "/readyz";
      // The path alone: neither query, headers nor body, so that no token can reach the log.
      log[probe ? "debug" : "info"](
        {
          method: request.method,
          path: request.path,
          status: response.statusCode,
          aborted: !response.writableFinished,
          ms: Math.round(performance.now() - start),
          client: clientAddress(request),
        },
        "request",
      );
    });
    next();
  });
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

  app.get("/healthz", (_request, response) => {
    response.json({ status: "healthy" });
  });
  app.get("/readyz", async (_request, response) => {
    if (stopping()) {
      response.status(503).json({ error: "The web interface is stopping.", code: "stopping" });
    } else if (await answers(new URL("/readyz", config.apiUrl))) {
      response.json({ status: "ready" });
    } else {
      response.status(503).json({ error: "The API is not ready.", code: "api_not_ready" });
    }
  });

  app.use(apiProxy(config.apiUrl, log, apiTimeout));

  app.use(compression());
  // Names under /assets hold a hash of their content: what changes gets another name.
  app.use("/assets", express.static(path.join(client, "assets"), { immutable: true, maxAge: "1y", index: false }));
  app.use(express.static(client, { index: false, maxAge: "1h" }));
  app.use((request, response, next) => {
    if (!isPage(request)) {
      next();
      return;
    }
    response.set("cache-control", "no-cache").sendFile("index.html", { root: client });
  });
  app.use((_request, response) => {
    response.status(404).json({ error: "There is nothing at this address.", code: "not_found" });
  });
  const failed: ErrorRequestHandler = (error: Error & { status?: number }, request, response, next) => {
    if (response.headersSent) {
      next(error);
      return;
    }
    const status = error.status ?? 500;
    if (status >= 500) log.error({ path: request.path, reason: error.message }, "request failed");
    response.status(status).json(
      status >= 500
        ? { error: "The web interface failed; its log has the details.", code: "internal_error" }
        : { error: "The request cannot be understood.", code: "bad_request" },
    );
  };
  app.use(failed);
  return app;
}

/** Whether a browser asks for a page: the client's router knows its address, the server does not. */
function isPage(request: Request): boolean {
  const last = request.path.slice(request.path.lastIndexOf("/") + 1);
  return (request.method === "GET" || request.method === "HEAD") && !last.includes(".") && !!request.accepts("html");
}

async function answers(url: URL): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}
