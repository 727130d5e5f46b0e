import path from "node:path";
import { pino } from "pino";
import { createApp } from "./app";
import { type Config, ConfigError, load } from "./config";
import { createEdge } from "./edge";

/** Under Docker's 10 s between SIGTERM and SIGKILL. */
const GRACE = 8_000;

function configure(): Config {
  try {
    return load(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    pino().fatal(error.message);
    process.exit(2);
  }
}

const config = configure();
const log = pino({
  level: config.logLevel,
  base: { service: "webui" },
  timestamp: pino.stdTimeFunctions.isoTime,
  formatters: { level: (level) => ({ level }) },
});

let stopping = false;
const server = createEdge(createApp({ config, log, client: path.join(__dirname, "client"), stopping: () => stopping }));

server.on("error", (error) => {
  log.fatal({ reason: error.message }, `cannot listen on port ${config.httpPort}`);
  process.exit(1);
});
server.listen(config.httpPort, () => log.info({ port: config.httpPort, api: config.apiUrl.origin }, "listening"));

function stop(signal: NodeJS.Signals): void {
  if (stopping) return;
  stopping = true;
  log.info({ signal }, "stopping");
  server.close(() => log.info("stopped"));
  // Node would wait for idle keep-alive connections that become idle only after close().
  setInterval(() => server.closeIdleConnections(), 100).unref();
  setTimeout(() => {
    log.warn("requests still open are cut");
    server.closeAllConnections();
  }, GRACE).unref();
}
process.on("SIGTERM", stop);
process.on("SIGINT", stop);
