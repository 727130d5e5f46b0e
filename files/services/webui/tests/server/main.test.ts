import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, request, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, it } from "vitest";

/** The process as the image runs it. */
let directory: string;
let bundle: string;

beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "webui-server-"));
  bundle = path.join(directory, "server.cjs");
  execFileSync("npx", ["esbuild", "src/server/main.ts", "--bundle", "--platform=node", "--format=cjs", `--outfile=${bundle}`], { stdio: "pipe" });
}, 60_000);
afterAll(() => rmSync(directory, { recursive: true }));

function run(environment: Record<string, string>): { child: ChildProcess; output: () => string } {
  const child = spawn(process.execPath, [bundle], { env: environment, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  return { child, output: () => output };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}

it("answers the request in hand before it stops on SIGTERM, and takes no new one", async () => {
  let release: (() => void) | undefined;
  const api = createServer((_request, response) => (release = () => response.end("done"))).listen(0, "127.0.0.1");
  await once(api, "listening");
  const port = await freePort();
  const { child, output } = run({ HTTP_PORT: String(port), API_URL: `http://127.0.0.1:${(api.address() as AddressInfo).port}` });
  try {
    await expect.poll(output, { timeout: 10_000 }).toContain("listening");
    const slow = request({ port, host: "127.0.0.1", path: "/api/v1/slow" }).end();
    const answered = once(slow, "response") as Promise<[IncomingMessage]>;
    await expect.poll(() => release).toBeDefined();
    child.kill("SIGTERM");
    await expect.poll(output).toContain("stopping");
    await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow();
    release?.();
    const [response] = await answered;
    expect(await text(response)).toBe("done");
    const [status] = (await once(child, "exit")) as [number | null];
    expect(status).toBe(0);
  } finally {
    child.kill("SIGKILL");
    api.close();
  }
});

it("says in one line what is wrong with its settings", async () => {
  const { child, output } = run({ HTTP_PORT: "0" });
  const [status] = (await once(child, "exit")) as [number | null];
  expect(status).toBe(2);
  expect(JSON.parse(output())).toMatchObject({ msg: 'HTTP_PORT is "0", expected a whole number from 1 to 65535' });
});

it("says which port it cannot have", async () => {
  const squatter = createServer().listen(0);
  await once(squatter, "listening");
  const { port } = squatter.address() as AddressInfo;
  const { child, output } = run({ HTTP_PORT: String(port) });
  const [status] = (await once(child, "exit")) as [number | null];
  squatter.close();
  expect(status).toBe(1);
  expect(output()).toContain(`cannot listen on port ${port}`);
});
