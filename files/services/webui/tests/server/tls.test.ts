import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { authority, put } from "./authority";
import { lines, listen, mirror, serve } from "./serve";

let directory: string;
let trusted: string;
let site: ReturnType<typeof authority>;
let stranger: ReturnType<typeof authority>;

beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "webui-tls-"));
  trusted = path.join(directory, "ca.crt");
  site = authority(directory, "site");
  stranger = authority(directory, "stranger");
}, 60_000);
afterAll(() => rmSync(directory, { recursive: true }));

/** An API over TLS, by the name of this host; says which certificate each connection was made with. */
async function api(pair = site.issue("localhost")): Promise<{ origin: string; server: Server; protocols: Set<string | null> }> {
  const protocols = new Set<string | null>();
  const server = createServer(pair, (incoming, outgoing) => {
    if (incoming.socket instanceof TLSSocket) protocols.add(incoming.socket.getProtocol());
    mirror(incoming, outgoing);
  });
  await listen(mirror, server);
  return { origin: `https://localhost:${(server.address() as AddressInfo).port}`, server, protocols };
}

const status = async (url: string, options: RequestInit = {}) => (await fetch(url, options)).status;

describe("the API over TLS", () => {
  it("is asked where an authority of the site issued its certificate for its name", async () => {
    put(trusted, site.text);
    const { origin, protocols } = await api();
    const web = await serve(origin, {}, { authority: trusted });
    expect(await status(`${web}/api/v1/x`)).toBe(200);
    expect(await status(`${web}/api/v1/x`, { method: "POST", body: "{}" })).toBe(200);
    expect(await status(`${web}/readyz`)).toBe(200);
    expect([...protocols]).toEqual(["TLSv1.3"]);
  });

  it.each([
    ["another authority", () => stranger.issue("localhost"), /unable to|self-signed/],
    ["another name", () => site.issue("postgres"), /altnames: Host: localhost/],
    ["an end that is past", () => site.issue("localhost", 0), /expired/],
  ])("is refused with the reason: %s", async (_what, issue, reason) => {
    put(trusted, site.text);
    const { origin } = await api(issue());
    const web = await serve(origin, {}, { authority: trusted });
    expect(await status(`${web}/api/v1/x`)).toBe(502);
    expect(await status(`${web}/api/v1/x`, { method: "POST", body: "{}" })).toBe(502);
    expect(await status(`${web}/readyz`)).toBe(503);
    expect(lines.join("\n")).toMatch(reason);
  });

  it("goes on through a renewal and a rotation, and the authority is read again", async () => {
    put(trusted, site.text);
    const { origin, server } = await api();
    const web = await serve(origin, {}, { authority: trusted });
    const seen: number[] = [];
    let going = true;
    const asking = Array.from({ length: 4 }, async () => {
      while (going) seen.push(await status(`${web}/api/v1/x`, { method: "POST", body: "{}" }), await status(`${web}/api/v1/x`));
    });
    server.setSecureContext(site.issue("localhost"));
    put(trusted, site.text + stranger.text);
    server.setSecureContext(stranger.issue("localhost"));
    // No poll comes over a connection that was made with what is not trusted any more.
    put(trusted, stranger.text);
    const count = seen.length;
    await expect.poll(() => seen.length, { timeout: 20_000 }).toBeGreaterThan(count + 20);
    going = false;
    await Promise.all(asking);
    expect(new Set(seen)).toEqual(new Set([200]));
    rmSync(trusted);
    expect(await status(`${web}/api/v1/x`)).toBe(200);
    put(trusted, site.text);
    expect(await status(`${web}/api/v1/x`)).toBe(502);
  });

  it("is not asked while what is trusted was never there", async () => {
    const { origin } = await api();
    const web = await serve(origin, {}, { authority: path.join(directory, "nowhere.crt") });
    expect(await status(`${web}/api/v1/x`)).toBe(502);
    expect(await status(`${web}/readyz`)).toBe(503);
    expect(lines.join("\n")).toContain("ENOENT");
  });
});
