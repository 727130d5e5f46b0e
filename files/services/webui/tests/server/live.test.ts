import { once } from "node:events";
import { type IncomingMessage, request, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { json } from "node:stream/consumers";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it, onTestFinished } from "vitest";
import { KEPT } from "../../src/server/ring";
import { Blocks } from "../../src/server/sse";
import { lines, listen, serve } from "./serve";

/** The API's side of the contract: a stream of readings, and a word on each token. */
class Api {
  readonly streams = new Set<ServerResponse>();
  /** Of each stream that was ever opened: its token, and where it began. */
  readonly opened: { token: string; last: string | undefined; query: string }[] = [];
  readonly questions: number[] = [];
  /** Tokens that are not good any more. */
  readonly ended = new Set<string>();
  down = false;
  #made: string[] = [];
  #first = 0;

  /** Has so many more readings, each of about so many bytes. */
  add(count = 1, size = 100): void {
    for (let each = 0; each < count; each += 1) {
      const number = this.#first + this.#made.length;
      const text = `id: p-${number}\nevent: reading\ndata: {"number":${number},"pad":"${"x".repeat(size)}"}\n\n`;
      this.#made.push(text);
      if (this.#made.length > KEPT) {
        this.#made.shift();
        this.#first += 1;
      }
      for (const stream of this.streams) stream.write(text);
    }
  }

  /** Cuts all streams. */
  cut(): void {
    for (const stream of this.streams) stream.destroy();
  }

  async start(): Promise<string> {
    return listen((incoming, outgoing) => {
      if (this.down) outgoing.destroy();
      else if (incoming.url === "/api/v1/events/readers") void this.#judge(incoming, outgoing);
      else if (incoming.url?.startsWith("/api/v1/events")) this.#stream(incoming, outgoing);
      else outgoing.writeHead(404).end();
    });
  }

  async #judge(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const { tokens } = (await json(incoming)) as { tokens: string[] };
    this.questions.push(tokens.length);
    const readers = tokens.map((token) =>
      this.ended.has(token) ? { allowed: false, status: 401, code: "session_ended", detail: "The session has ended." } : { allowed: true, status: 200, code: null, detail: null },
    );
    outgoing.setHeader("content-type", "application/json").end(JSON.stringify({ readers }));
  }

  #stream(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const token = incoming.headers.authorization?.replace("Bearer ", "") ?? "";
    const last = incoming.headers["last-event-id"] as string | undefined;
    this.opened.push({ token, last, query: incoming.url ?? "" });
    if (!token || this.ended.has(token)) {
      outgoing.writeHead(401, { "content-type": "application/problem+json" }).end('{"code":"not_signed_in","detail":"Sign in first."}');
      return;
    }
    outgoing.writeHead(200, { "content-type": "text/event-stream" });
    const from = last === undefined ? 0 : Number(last.replace("p-", "")) + 1 - this.#first;
    if (from < 0) outgoing.write("event: lost\ndata: {}\n\n");
    for (const text of this.#made.slice(Math.max(from, 0))) outgoing.write(text);
    outgoing.write(": \n\n");
    this.streams.add(outgoing);
    outgoing.on("close", () => this.streams.delete(outgoing));
  }

  /** Ends a session, and the streams that it opened, as the API does. */
  end(token: string): void {
    this.ended.add(token);
    for (const stream of this.streams) {
      if (stream.req.headers.authorization === `Bearer ${token}`) stream.end('event: end\ndata: {"code":"session_ended"}\n\n');
    }
  }
}

/** A browser that reads. */
class Browser {
  readonly kinds: string[] = [];
  readonly numbers: number[] = [];
  status = 0;
  last = "";
  over = false;
  #response: IncomingMessage | undefined;

  async open(origin: string, token: string, query = "", last = ""): Promise<this> {
    const headers = { authorization: `Bearer ${token}`, accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) };
    const asked = request(`${origin}/api/v1/events${query}`, { headers, agent: false }).end();
    onTestFinished(() => {
      asked.destroy();
    });
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    this.status = response.statusCode ?? 0;
    this.#response = response;
    const blocks = new Blocks(({ id, kind, text }) => {
      if (!kind) return;
      this.kinds.push(kind);
      if (kind === "end") this.last = text;
      if (kind === "reading") this.numbers.push(Number(id.replace("p-", "")));
    });
    response.setEncoding("utf8").on("data", (piece: string) => blocks.feed(piece));
    response.on("error", () => undefined).on("close", () => (this.over = true));
    return this;
  }

  stop(): void {
    this.#response?.pause();
  }

  go(): void {
    this.#response?.resume();
  }

  close(): void {
    this.#response?.destroy();
  }
}

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Bytes of buffers that somebody still holds. */
function buffers(): number {
  collect();
  return process.memoryUsage().arrayBuffers;
}

const span = (first: number, count: number) => Array.from({ length: count }, (_each, index) => first + index);
const patient = { timeout: 10_000 };

async function both() {
  const api = new Api();
  api.add(3);
  return { api, origin: await serve(await api.start()) };
}

describe("the stream of events", () => {
  it("is one of the API's for two hundred browsers, and each has every reading", async () => {
    const { api, origin } = await both();
    const browsers = await Promise.all(span(0, 200).map((number) => new Browser().open(origin, `token-${number}`)));
    await expect.poll(() => browsers.every(({ numbers }) => numbers.length === 1), patient).toBe(true);
    for (let second = 0; second < 5; second += 1) api.add();
    await expect.poll(() => browsers.every(({ numbers }) => numbers.length === 6), patient).toBe(true);
    for (const { numbers } of browsers) expect(numbers).toEqual(span(2, 6));
    expect(api.opened).toHaveLength(1);
    expect(api.streams.size).toBe(1);
    // One question for all, twice a second at most.
    const begun = api.questions.length;
    await new Promise((done) => setTimeout(done, 2_000));
    expect(api.questions.length - begun).toBeLessThanOrEqual(6);
    expect(Math.max(...api.questions)).toBeGreaterThanOrEqual(200);
  });

  it("begins where the browser was, or with all that is kept, and says what is lost", async () => {
    const { api, origin } = await both();
    const oldest = await new Browser().open(origin, "a", "?begin=oldest");
    await expect.poll(() => oldest.numbers).toEqual([0, 1, 2]);
    const behind = await new Browser().open(origin, "b", "", "p-0");
    await expect.poll(() => behind.numbers).toEqual([1, 2]);
    const lost = await new Browser().open(origin, "c", "", "q-7");
    await expect.poll(() => [lost.kinds, lost.numbers]).toEqual([["lost", "reading", "reading", "reading"], [0, 1, 2]]);
    api.add();
    await expect.poll(() => [oldest, behind, lost].map(({ numbers }) => numbers.at(-1))).toEqual([3, 3, 3]);
  });

  it("goes on without loss when the API's was cut, over the next one", async () => {
    const { api, origin } = await both();
    const browser = await new Browser().open(origin, "a");
    await expect.poll(() => browser.numbers).toEqual([2]);
    api.cut();
    api.add(4);
    await expect.poll(() => browser.numbers, patient).toEqual(span(2, 5));
    expect(api.opened.map(({ last }) => last)).toEqual([undefined, "p-2"]);
    expect(browser.kinds).not.toContain("away");
  });

  it("says that the API is away, sends nothing meanwhile, and nothing is lost", async () => {
    const { api, origin } = await both();
    const browser = await new Browser().open(origin, "a");
    await expect.poll(() => browser.numbers).toEqual([2]);
    api.down = true;
    api.cut();
    await expect.poll(() => browser.kinds, patient).toContain("away");
    api.add(2);
    api.down = false;
    await expect.poll(() => browser.numbers, patient).toEqual([2, 3, 4]);
    expect(lines.join("")).toContain("the API's events cannot be read");
  });

  it("ends with the session of its browser, and the others' goes on, whosever the API's was", async () => {
    const { api, origin } = await both();
    const first = await new Browser().open(origin, "first");
    const second = await new Browser().open(origin, "second");
    await expect.poll(() => second.numbers).toEqual([2]);
    expect(api.opened[0]?.token).toBe("first");
    const began = performance.now();
    api.end("first");
    await expect.poll(() => first.over, patient).toBe(true);
    expect(performance.now() - began).toBeLessThan(2_500);
    expect(first.last).toContain("session_ended");
    api.add(2);
    await expect.poll(() => second.numbers, patient).toEqual([2, 3, 4]);
    expect(api.opened.at(-1)?.token).toBe("second");
    expect(second.over).toBe(false);
    const again = await new Browser().open(origin, "first");
    expect(again.status).toBe(401);
  });

  it("is one for each host of the data plane", async () => {
    const { api, origin } = await both();
    const hosts = ["", "one", "two", "one"];
    const browsers = await Promise.all(hosts.map((host) => new Browser().open(origin, "a", host && `?host=${host}`)));
    await expect.poll(() => browsers.map(({ numbers }) => numbers), patient).toEqual(hosts.map(() => [2]));
    expect(api.opened.map(({ query }) => query).sort()).toEqual(["", "&host=one", "&host=two"].map((host) => `/api/v1/events?begin=oldest${host}`));
    browsers[2]?.close();
    await expect.poll(() => api.streams.size, patient).toBe(2);
  });

  it("is one for each of as many hosts as an API serves", async () => {
    const { api, origin } = await both();
    const hosts = span(0, 32).map((number) => `host${number}`);
    const browsers = await Promise.all(hosts.map((host) => new Browser().open(origin, "a", `?host=${host}`)));
    await expect.poll(() => browsers.map(({ numbers }) => numbers), patient).toEqual(hosts.map(() => [2]));
    expect(api.streams.size).toBe(32);
  });

  it("is left to the API where that would refuse it", async () => {
    const { api, origin } = await both();
    expect((await fetch(`${origin}/api/v1/events`)).status).toBe(401);
    await fetch(`${origin}/api/v1/events?begin=never`, { headers: { authorization: "Bearer a" } }).then((answer) => answer.body?.cancel());
    expect(api.opened.map(({ query }) => query)).toEqual(["/api/v1/events", "/api/v1/events?begin=never"]);
  });

  it("is one however it is asked for, and none that the API would give past this server", async () => {
    const { api, origin } = await both();
    const browser = await new Browser().open(origin, " a");
    await expect.poll(() => browser.numbers, patient).toEqual([2]);
    for (const query of ["?seconds=07", "?begin=latest&begin=latest"]) {
      const answer = await fetch(`${origin}/api/v1/events${query}`, { headers: { authorization: "Bearer a" } });
      expect([answer.status, ((await answer.json()) as { code: string }).code]).toEqual([400, "bad_request"]);
    }
    await expect.poll(() => api.streams.size, patient).toBe(1);
  });

  it("is not there where the API cannot say who may read", async () => {
    const { api, origin } = await both();
    api.down = true;
    const browser = await new Browser().open(origin, "a");
    expect(browser.status).toBe(502);
  });

  it("holds no more than its ring for a browser that takes nothing, which is told what it missed", async () => {
    const { api, origin } = await both();
    const quick = await new Browser().open(origin, "quick");
    const { port, hostname } = new URL(origin);
    const slow = connect({ port: Number(port), host: hostname });
    onTestFinished(() => {
      slow.destroy();
    });
    slow.pause();
    slow.write("GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer slow\r\n\r\n");
    await expect.poll(() => quick.numbers.length).toBe(1);
    await new Promise((done) => setTimeout(done, 300));
    const before = buffers();
    // 80 MB, where the ring has 8 and the kernel some more.
    for (let round = 0; round < 80; round += 1) {
      api.add(50, 20_000);
      await new Promise((done) => setTimeout(done, 10));
    }
    await expect.poll(() => quick.numbers.at(-1), patient).toBe(2 + 80 * 50);
    // The quick one has it all once nothing is on its way any more.
    await expect.poll(() => buffers() - before, patient).toBeLessThan(24 * 1024 * 1024);
    let text = "";
    slow.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    slow.resume();
    await expect.poll(() => text.includes(`id: p-${2 + 80 * 50}\n`), patient).toBe(true);
    expect(text).toContain("event: lost");
  });

  it("ends at the API once nobody reads", async () => {
    const { api, origin } = await both();
    const browser = await new Browser().open(origin, "a");
    await expect.poll(() => api.streams.size).toBe(1);
    browser.close();
    await expect.poll(() => api.streams.size, patient).toBe(0);
  });

  it("ends when the server stops", async () => {
    const api = new Api();
    let stopping = false;
    const origin = await serve(await api.start(), { stopping: () => stopping });
    const browser = await new Browser().open(origin, "a");
    stopping = true;
    await expect.poll(() => browser.over, patient).toBe(true);
    expect(browser.last).toContain("stopping");
  });
});
