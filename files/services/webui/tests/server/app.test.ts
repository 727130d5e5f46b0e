import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { connect } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { parseTrust } from "../../src/server/trust";
import { closedPort, lines, listen, mirror, type Mirrored, raw, serve } from "./serve";

describe("the proxy", () => {
  it.each(["POST", "PUT", "DELETE"])("passes a %s with its body, path and token on", async (method) => {
    const origin = await serve(await listen(mirror));
    const body = JSON.stringify({ email: "ä@example.test" });
    const response = await fetch(`${origin}/api/v1/users/3?page=2`, {
      method,
      body,
      headers: { "content-type": "application/json", authorization: "Bearer abc" },
    });
    const seen = (await response.json()) as Mirrored;
    expect(seen).toMatchObject({ method, url: "/api/v1/users/3?page=2", body });
    expect(seen.headers).toMatchObject({ authorization: "Bearer abc", "content-type": "application/json" });
  });

  it("passes an empty JSON object on, which a body parser would turn into a wait without end", async () => {
    const origin = await serve(await listen(mirror));
    const response = await fetch(`${origin}/api/v1/x`, { method: "POST", body: "{}", headers: { "content-type": "application/json" } });
    expect(((await response.json()) as Mirrored).body).toBe("{}");
  });

  it("passes the API's refusals on as they are", async () => {
    const origin = await serve(
      await listen((_incoming, outgoing) => {
        outgoing.writeHead(404, { "content-type": "application/json" }).end('{"detail":"No.","code":"not_found"}');
      }),
    );
    const response = await fetch(`${origin}/api/unknown`, { headers: { accept: "text/html" } });
    expect(response.status).toBe(404);
    expect(await response.json()).toEqual({ detail: "No.", code: "not_found" });
  });

  it("answers 502 in JSON while the API is down, and 200 once it is up", async () => {
    const origin = await serve(await closedPort());
    const response = await fetch(`${origin}/api/v1/auth/login`, { method: "POST", body: "{}", headers: { accept: "text/html" } });
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({ status: 502, detail: expect.any(String) as string, code: "api_unreachable" });
  });

  it("answers 504 in JSON where the API is silent", async () => {
    const origin = await serve(await listen(() => undefined), { apiTimeout: 200 });
    const response = await fetch(`${origin}/api/v1/hello`);
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ code: "api_timeout" });
  });

  it("breaks off an answer that the API broke off", async () => {
    const origin = await serve(
      await listen((_incoming, outgoing) => {
        outgoing.writeHead(200, { "content-length": "100" }).write("half");
        setTimeout(() => outgoing.destroy(), 50);
      }),
    );
    const response = await fetch(`${origin}/api/v1/x`);
    await expect(response.text()).rejects.toThrow();
  });

  it("names the client to the API, whatever the client claims", async () => {
    const origin = await serve(await listen(mirror));
    for (const expect100 of [false, true]) {
      const outgoing = request(`${origin}/api/v1/x`, {
        method: "POST",
        headers: {
          host: "app.example.test",
          "x-forwarded-for": "203.0.113.9",
          "x-forwarded-proto": "https",
          forwarded: "for=203.0.113.9",
          ...(expect100 ? { expect: "100-continue" } : {}),
        },
      });
      outgoing.end("{}");
      const [response] = (await once(outgoing, "response")) as [IncomingMessage];
      const { headers } = JSON.parse(await text(response)) as Mirrored;
      expect(headers).toMatchObject({
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-proto": "http",
        "x-forwarded-host": "app.example.test",
      });
      expect(headers).not.toHaveProperty("forwarded");
    }
  });

  it.each(["/", "/healthz", "/api/v1/x", "/nowhere"])("takes HTTP/1.0 without a Host at %s, and HTTP/1.1 not", async (address) => {
    const origin = await serve(await listen(mirror));
    const old = await raw(origin, `GET ${address} HTTP/1.0\r\nAccept: text/html\r\n\r\n`);
    expect(old).toMatch(address === "/nowhere" ? /^HTTP\/1.1 404 / : /^HTTP\/1.1 200 /);
    expect(await raw(origin, `GET ${address} HTTP/1.1\r\nConnection: close\r\n\r\n`)).toMatch(/^HTTP\/1.1 400 [^]*"code":"bad_request"/);
  });

  it("believes a proxy that it was told to trust", async () => {
    const origin = await serve(await listen(mirror), {}, { trustedProxies: parseTrust("127.0.0.1") });
    const response = await fetch(`${origin}/api/v1/x`, { headers: { "x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https" } });
    expect(((await response.json()) as Mirrored).headers).toMatchObject({ "x-forwarded-for": "198.51.100.7", "x-forwarded-proto": "https" });
  });

  it("reads what trusted proxies said from the right, up to who is none", async () => {
    const origin = await serve(await listen(mirror), {}, { trustedProxies: parseTrust("127.0.0.0/8,10.0.0.0/8,!10.0.0.1") });
    for (const [claimed, client] of [
      ["203.0.113.9, 198.51.100.7", "198.51.100.7"],
      ["203.0.113.9, 198.51.100.7, 10.1.2.3", "198.51.100.7"],
      ["203.0.113.9, 10.0.0.1", "10.0.0.1"],
    ] as const) {
      const response = await fetch(`${origin}/api/v1/x`, { headers: { "x-forwarded-for": claimed } });
      expect(((await response.json()) as Mirrored).headers).toMatchObject({ "x-forwarded-for": client });
    }
  });

  it("logs no token, no query and no body", async () => {
    const origin = await serve(await listen(mirror));
    await (await fetch(`${origin}/api/v1/x?key=hunter2`, { method: "POST", body: "hunter2", headers: { authorization: "Bearer hunter2" } })).text();
    await expect.poll(() => lines.length).toBe(1);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ method: "POST", path: "/api/v1/x", status: 200 });
    expect(lines.join("")).not.toContain("hunter2");
  });

  it("holds back an API that answers faster than its client reads, and loses nothing of it", async () => {
    const size = 64 * 1024 * 1024;
    let written = 0;
    const origin = await serve(
      await listen((_incoming, outgoing) => {
        outgoing.writeHead(200, { "content-length": size });
        const more = () => {
          while (written < size) {
            written += 65_536;
            if (!outgoing.write(Buffer.alloc(65_536, written / 65_536))) break;
          }
        };
        outgoing.on("drain", more);
        more();
      }),
    );
    const { port } = new URL(origin);
    const client = connect(Number(port), "127.0.0.1");
    client.pause();
    client.write("GET /api/v1/audit/export HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let before = 0;
    await expect
      .poll(
        () => {
          const standing = written > 0 && written === before;
          before = written;
          return standing;
        },
        { interval: 1_000, timeout: 20_000 },
      )
      .toBe(true);
    // What the sockets of both ways hold, and no more than that.
    expect(written).toBeLessThan(size / 2);
    const answer = await buffer(client);
    const body = answer.subarray(answer.indexOf("\r\n\r\n") + 4);
    expect(body.length).toBe(size);
    expect([...new Array(4).keys()].map((part) => body[part * 65_536])).toEqual([1, 2, 3, 4]);
  });

  it("takes a client that leaves for no fault of the API's, and lets the API stop, too", async () => {
    let left = false;
    const origin = await serve(
      await listen((_incoming, outgoing) => {
        outgoing.on("close", () => (left = true));
        outgoing.writeHead(200).write("half");
      }),
    );
    const leaving = new AbortController();
    const response = await fetch(`${origin}/api/v1/x`, { signal: leaving.signal });
    expect(response.status).toBe(200);
    leaving.abort();
    await expect.poll(() => left).toBe(true);
    await expect.poll(() => lines.join("\n")).toContain('"aborted":true');
    expect(lines.join("\n")).not.toContain("API request failed");
  });

  it("answers with what browsers are to mind, unless the API says it itself", async () => {
    const origin = await serve(
      await listen((_incoming, outgoing) => outgoing.writeHead(200, { "content-security-policy": "default-src 'self'", "referrer-policy": "origin" }).end()),
    );
    const { headers } = await fetch(`${origin}/api/v1/x`);
    expect(headers.get("content-security-policy")).toBe("default-src 'self'");
    expect(headers.get("referrer-policy")).toBe("origin");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("x-powered-by")).toBeNull();
  });

  it.each(["/apix", "/API/v1/x"])("takes only /api and what is below it: not %s", async (address) => {
    const origin = await serve(await listen(mirror));
    const response = await fetch(origin + address, { headers: { accept: "text/html" } });
    expect(await response.text()).toContain("<title>Tripod</title>");
  });
});

describe("health", () => {
  it("is well without the API, but not ready", async () => {
    const origin = await serve(await closedPort());
    const health = await fetch(`${origin}/healthz`);
    expect([health.status, await health.json()]).toEqual([200, { status: "healthy" }]);
    const ready = await fetch(`${origin}/readyz`);
    expect(ready.status).toBe(503);
    expect(await ready.json()).toMatchObject({ code: "api_not_ready" });
  });

  it.each([
    [200, 200],
    [503, 503],
  ])("is ready as the API is: %i gives %i", async (theirs, ours) => {
    const origin = await serve(await listen((incoming, outgoing) => outgoing.writeHead(incoming.url === "/readyz" ? theirs : 500).end()));
    expect((await fetch(`${origin}/readyz`)).status).toBe(ours);
  });

  it("is not ready while it stops", async () => {
    const origin = await serve(await listen((_incoming, outgoing) => outgoing.end()), { stopping: () => true });
    expect(await (await fetch(`${origin}/readyz`)).json()).toMatchObject({ code: "stopping" });
  });
});

describe("the client's files", () => {
  it("are kept for ever where their name holds a hash, and compressed", async () => {
    const origin = await serve(await closedPort());
    const response = await fetch(`${origin}/assets/index-abc.js`);
    expect(response.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    expect(response.headers.get("content-encoding")).toBe("gzip");
  });

  it.each(["/", "/users", "/tracer?tab=hex"])("answer %s with the page, asked for again each time", async (address) => {
    const origin = await serve(await closedPort());
    const response = await fetch(origin + address, { headers: { accept: "text/html" } });
    expect(response.headers.get("cache-control")).toBe("no-cache");
    expect(response.headers.get("content-security-policy")).toContain("script-src 'self';");
    expect(await response.text()).toContain("<title>Tripod</title>");
  });

  it.each([
    ["GET", "/assets/old-123.js"],
    ["GET", "/robots.txt"],
    ["POST", "/users"],
    ["GET", "/..%2f..%2fetc%2fpasswd"],
  ])("never answer %s %s with the page", async (method, address) => {
    const origin = await serve(await closedPort());
    const response = await fetch(origin + address, { method, headers: { accept: "text/html" } });
    expect(response.status).toBeGreaterThanOrEqual(400);
    expect(response.status).toBeLessThan(500);
    expect(await response.json()).toHaveProperty("code");
  });

  it.each(["/metrics", "/livez", "/health", "/debug/pprof/", "/.well-known/security", "/users/7"])("answer a program at %s with 404 in JSON", async (address) => {
    const origin = await serve(await closedPort());
    for (const accept of ["*/*", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1", "application/json"]) {
      const response = await fetch(origin + address, { headers: { accept } });
      expect([response.status, await response.json()]).toMatchObject([404, { code: "not_found" }]);
    }
  });

  it("tell a person who is lost so, on a page that no cache takes for a right one", async () => {
    const origin = await serve(await closedPort());
    const response = await fetch(`${origin}/metrics`, { headers: { accept: "text/html,application/xhtml+xml,*/*;q=0.8" } });
    expect(response.status).toBe(404);
    expect(await response.text()).toContain("<title>Tripod</title>");
  });
});
