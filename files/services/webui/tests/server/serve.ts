import { once } from "node:events";
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll } from "vitest";
import { createApp, type Options } from "../../src/server/app";
import type { Config } from "../../src/server/config";
import { createEdge } from "../../src/server/edge";

/** A web interface with real sockets, in front of an API that a test writes. */
const servers: { close: () => unknown; closeAllConnections?: () => void }[] = [];
let client: string;
/** What the web interface logged. */
export let lines: string[];

beforeAll(() => {
  client = mkdtempSync(path.join(tmpdir(), "webui-client-"));
  mkdirSync(path.join(client, "assets"));
  writeFileSync(path.join(client, "index.html"), "<!doctype html><title>Tripod</title>");
  writeFileSync(path.join(client, "assets", "index-abc.js"), `// ${"x".repeat(4096)}`);
});
afterAll(() => rmSync(client, { recursive: true }));
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections?.();
  }
});

export async function listen(listener: RequestListener, server: Server = createServer(listener)): Promise<string> {
  // On both families, as in production: IPv4 clients then have mapped addresses.
  server.listen(0);
  servers.push(server);
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Starts the web interface in front of an API; returns its origin. */
export async function serve(api: string, options: Partial<Options> = {}, config: Partial<Config> = {}, connections?: number): Promise<string> {
  lines = [];
  const app = createApp({
    config: { httpPort: 0, apiUrl: new URL(api), logLevel: "debug", trustedProxies: () => false, ...config },
    log: pino({ level: "debug" }, { write: (line) => lines.push(line) }),
    client,
    stopping: () => false,
    ...options,
  });
  return listen(app, createEdge(app, connections));
}

/** A port on which nobody listens. */
export async function closedPort(): Promise<string> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return `http://127.0.0.1:${port}`;
}

/** Answers with what it was sent. */
export const mirror: RequestListener = (incoming, outgoing) => {
  void text(incoming).then((body) => {
    outgoing.setHeader("content-type", "application/json").end(
      JSON.stringify({ method: incoming.method, url: incoming.url, headers: incoming.headers, body }),
    );
  });
};

export interface Mirrored {
  method: string;
  url: string;
  headers: Record<string, string>;
  body: string;
}

/** Sends bytes as they are, and returns all that comes back until the server closes. */
export async function raw(origin: string, bytes: string): Promise<string> {
  const { port, hostname } = new URL(origin);
  const socket = connect(Number(port), hostname);
  socket.write(bytes);
  return text(socket);
}
