import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { describe, expect, it, onTestFinished } from "vitest";
import { BODY_BYTES } from "../../src/server/body";
import { listen, mirror, raw, serve } from "./serve";

const POST = "POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";

function open(origin: string): Socket {
  const { port, hostname } = new URL(origin);
  const socket = connect(Number(port), hostname);
  onTestFinished(() => {
    socket.destroy();
  });
  return socket;
}

/** Sends one byte a second for as long as the server takes it. */
function drip(socket: Socket): void {
  const timer = setInterval(() => socket.write("x"), 1_000);
  socket.on("close", () => clearInterval(timer)).on("error", () => undefined);
}

const sorted = (times: number[]) => [...times].sort((one, other) => one - other);

async function timed(origin: string): Promise<number> {
  const start = performance.now();
  await (await fetch(`${origin}/api/v1/status`)).text();
  return performance.now() - start;
}

describe("slow clients", () => {
  it("hold neither the API nor others, and each is told so within seconds", async () => {
    const seen: string[] = [];
    const origin = await serve(
      await listen((incoming, outgoing) => {
        seen.push(incoming.method ?? "");
        mirror(incoming, outgoing);
      }),
    );
    for (let warm = 0; warm < 50; warm += 1) await timed(origin);
    /** What others wait beside slow clients, at worst but for one of a hundred (milliseconds). */
    async function beside(): Promise<number> {
      const answers = Array.from({ length: 64 }, async () => {
        const socket = open(origin);
        socket.write(`${POST}Content-Length: 1000\r\n\r\n{`);
        drip(socket);
        return text(socket);
      });
      const times: number[] = [];
      const end = performance.now() + 4_000;
      while (performance.now() < end) times.push(await timed(origin));
      for (const answer of await Promise.all(answers)) expect(answer).toMatch(/^HTTP\/1.1 408 [^]*"code":"request_timeout"/);
      return sorted(times)[Math.floor(times.length * 0.99)] ?? Infinity;
    }
    // What else the machine does makes them wait longer at times, and never shorter.
    let best = await beside();
    for (let turn = 1; turn < 4 && best >= 250; turn += 1) best = Math.min(best, await beside());
    expect(best).toBeLessThan(250);
    // No byte of theirs came so far.
    expect(seen).not.toContain("POST");
  }, 60_000);

  it("have ten seconds for the head of a request, whatever of it they sent", async () => {
    const origin = await serve(await listen(mirror));
    const began = performance.now();
    const answers = ["", "GET /", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "].map((start) => {
      const socket = open(origin);
      if (start) {
        socket.write(start);
        drip(socket);
      }
      return text(socket);
    });
    for (const answer of await Promise.all(answers)) expect(answer).toMatch(/^HTTP\/1.1 408 [^]*"code":"request_timeout"/);
    expect(performance.now() - began).toBeLessThan(20_000);
  });

  it("may be as slow as a bad line", async () => {
    const origin = await serve(await listen(mirror));
    const socket = open(origin);
    const body = Buffer.alloc(64 * 1024, "x");
    socket.write(`${POST}Connection: close\r\nContent-Length: ${body.length}\r\n\r\n`);
    for (let at = 0; at < body.length; at += 8_192) {
      socket.write(body.subarray(at, at + 8_192));
      await new Promise((done) => setTimeout(done, 800));
    }
    expect(await text(socket)).toMatch(/^HTTP\/1.1 200 /);
  });

  it("make room where they are too many", async () => {
    const origin = await serve(await listen(mirror));
    const [first] = Array.from({ length: 257 }, () => {
      const socket = open(origin);
      socket.on("error", () => undefined).write(`${POST}Content-Length: 1000\r\n\r\n{`);
      return socket;
    });
    if (!first) throw new Error("no socket");
    expect(await text(first)).toMatch(/^HTTP\/1.1 503 [^]*retry-after: 1[^]*"code":"overloaded"/i);
    expect((await fetch(`${origin}/api/v1/x`, { method: "POST", body: "{}" })).status).toBe(200);
  });
});

it("makes room for a new connection by those that wait between two requests", async () => {
  const origin = await serve(await listen(mirror), {}, {}, 2);
  const idle = [open(origin), open(origin)];
  for (const socket of idle) {
    socket.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    await once(socket, "data");
  }
  await expect.poll(() => raw(origin, "GET /healthz HTTP/1.0\r\n\r\n").catch(() => "")).toMatch(/^HTTP\/1.1 200 /);
});

describe("a body over the limit", () => {
  const chunk = `4000\r\n${"x".repeat(0x4000)}\r\n`;
  const count = Math.ceil(BODY_BYTES / 0x4000) + 1;

  it.each([
    ["declared", `${POST}Content-Length: ${BODY_BYTES + 1}\r\n\r\n`],
    ["sent whole", `${POST}Content-Length: ${BODY_BYTES + 1}\r\n\r\n${"x".repeat(BODY_BYTES + 1)}`],
    ["in chunks", `${POST}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(count)}0\r\n\r\n`],
    ["in chunks without an end", `${POST}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(count)}`],
    ["in chunks, and much more of it", `${POST}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(64 * count)}`],
  ])("is answered with 413 and reaches nobody: %s", async (_how, bytes) => {
    let reached = false;
    const origin = await serve(await listen(() => (reached = true)));
    const socket = open(origin);
    let answer = "";
    socket.on("data", (data: Buffer) => (answer += data.toString()));
    socket.on("error", () => undefined);
    socket.write(bytes);
    await expect.poll(() => answer).toMatch(/^HTTP\/1.1 413 [^]*"code":"request_entity_too_large"/);
    expect(reached).toBe(false);
  });

  it.each([
    ["in one piece", `${POST}Connection: close\r\nContent-Length: ${BODY_BYTES}\r\n\r\n${"x".repeat(BODY_BYTES)}`],
    ["in chunks", `${POST}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(count - 1)}0\r\n\r\n`],
  ])("is one byte longer than what arrives whole: %s", async (_how, bytes) => {
    const origin = await serve(await listen((incoming, outgoing) => void text(incoming).then((body) => outgoing.end(String(body.length)))));
    expect(await raw(origin, bytes)).toMatch(new RegExp(`\r\n\r\n${BODY_BYTES}$|\r\n${BODY_BYTES}\r\n`));
  });
});

describe("connections to the API", () => {
  /** An API that counts its connections. */
  async function counted(): Promise<{ origin: string; connections: () => number; heads: string[] }> {
    const sockets = new Set<Socket>();
    const heads: string[] = [];
    const api = await listen((incoming, outgoing) => {
      sockets.add(incoming.socket);
      heads.push(JSON.stringify(incoming.headers));
      mirror(incoming, outgoing);
    });
    return { origin: await serve(api), connections: () => sockets.size, heads };
  }

  it("are shared by polls, whatever each client says of its own", async () => {
    const { origin, connections, heads } = await counted();
    for (let poll = 0; poll < 5; poll += 1) {
      await raw(origin, "GET /api/v1/x HTTP/1.1\r\nHost: x\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=1\r\nTE: trailers\r\nProxy-Connection: close\r\n\r\n");
      await raw(origin, "GET /api/v1/x HTTP/1.0\r\n\r\n");
    }
    expect(connections()).toBe(1);
    for (const head of heads) {
      expect(head).not.toMatch(/close|x-mine|"keep-alive":|"te"|proxy-connection/);
    }
  });

  it("say nothing of the API's connection to the client", async () => {
    const origin = await serve(await listen((_incoming, outgoing) => outgoing.writeHead(200, { connection: "close, x-hop", "x-hop": "1", "x-end": "1" }).end("{}")));
    const agent = new Agent({ keepAlive: true });
    onTestFinished(() => agent.destroy());
    const outgoing = request(`${origin}/api/v1/x`, { agent }).end();
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    response.resume();
    expect(response.headers).toMatchObject({ connection: "keep-alive", "x-end": "1" });
    expect(response.headers).not.toHaveProperty("x-hop");
  });

  it("are never shared by what changes something", async () => {
    const { origin, connections } = await counted();
    for (let post = 0; post < 3; post += 1) await (await fetch(`${origin}/api/v1/x`, { method: "POST", body: "{}" })).text();
    expect(connections()).toBe(3);
  });

  it("cost no poll where the API closed one meanwhile", async () => {
    let requests = 0;
    const api = await listen((incoming, outgoing) => {
      requests += 1;
      // The second one over a connection finds it closed.
      if (requests === 2) incoming.socket.destroy();
      else mirror(incoming, outgoing);
    });
    const origin = await serve(api);
    expect((await fetch(`${origin}/api/v1/x`)).status).toBe(200);
    expect((await fetch(`${origin}/api/v1/x`)).status).toBe(200);
    expect(requests).toBe(3);
  });

  it.each(["GET", "POST"])("end with the client's: %s", async (method) => {
    let ended = 0;
    let began = 0;
    const origin = await serve(
      await listen((incoming) => {
        began += 1;
        incoming.resume();
        incoming.socket.on("close", () => (ended += 1));
      }),
    );
    const abort = new AbortController();
    const answers = Array.from({ length: 8 }, () =>
      fetch(`${origin}/api/v1/slow`, { method, ...(method === "POST" ? { body: "{}" } : {}), signal: abort.signal }).catch(() => undefined),
    );
    await expect.poll(() => began).toBe(8);
    abort.abort();
    await Promise.all(answers);
    await expect.poll(() => ended).toBe(8);
  });
});

describe("what is no request", () => {
  it.each([
    ["close", ["200"]],
    ["keep-alive", ["200", "400"]],
  ])("is no answer to the one before it: %s", async (connection, statuses) => {
    const origin = await serve(await listen((incoming, outgoing) => void setTimeout(() => mirror(incoming, outgoing), 100)));
    const answer = await raw(origin, `${POST}Connection: ${connection}\r\nContent-Length: 2\r\n\r\n{}and more than it said`);
    expect([...answer.matchAll(/HTTP\/1.1 (\d+)/g)].map(([, status]) => status)).toEqual(statuses);
    expect(answer).toContain('"body":"{}"');
  });

  it.each([
    ["no HTTP", "hello\r\n\r\n", 400, "bad_request"],
    ["two lengths", `${POST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx`, 400, "bad_request"],
    ["a length and chunks", `${POST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, "bad_request"],
    ["a chunk that ends with LF alone", `${POST}Transfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n`, 400, "bad_request"],
    ["a chunk of no number", `${POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 400, "bad_request"],
    ["endless headers", `GET / HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(70_000)}\r\n\r\n`, 431, "request_header_fields_too_large"],
    ["an expectation of its own", `${POST}Connection: close\r\nExpect: a miracle\r\nContent-Length: 0\r\n\r\n`, 417, "expectation_failed"],
    ["a wrong escape", "GET /%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404, "not_found"],
  ])("is refused in JSON: %s", async (_what, bytes, status, code) => {
    const origin = await serve(await listen(mirror));
    const answer = await raw(origin, bytes);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4))).toMatchObject({ code, detail: expect.any(String) as string });
  });
});
