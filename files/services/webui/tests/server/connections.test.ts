import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { expect, it, onTestFinished } from "vitest";
import { parseTrust } from "../../src/server/trust";
import { listen, mirror, type Mirrored, serve } from "./serve";

/** Asks over one connection for as long as the server keeps it; says which local port that was. */
function client(origin: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  return async (headers: Record<string, string> = {}) => {
    const outgoing = request(`${origin}/api/v1/policies/edge/confirm`, { method: "POST", agent, headers });
    outgoing.end("{}");
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    const port = response.socket.localPort;
    return { status: response.statusCode, headers: response.headers, port, body: await text(response) };
  };
}

const age = ({ body }: { body: string }) => Number((JSON.parse(body) as Mirrored).headers["x-connection-age"]);

it("tells the API how long a client has been connected, whatever it claims itself", async () => {
  const ask = client(await serve(await listen(mirror)));
  const first = await ask({ "x-connection-age": "0" });
  expect(age(first)).toBeLessThan(1);
  await pause(1_200);
  const second = await ask({ "x-connection-age": "0" });
  expect(second.port).toBe(first.port);
  expect(age(second)).toBeGreaterThanOrEqual(1.2);
  expect(age(await ask({ "x-connection-age": "5000" }))).toBeLessThan(1_000);
});

it.each([
  ["60.5", 60.5],
  ["0.000", 0],
  ["-60", 0],
  ["NaN", 0],
  ["Infinity", 0],
  ["1, 2", 0],
  ["x", 0],
])("believes a trusted front in how old its client's connection is: %s", async (said, least) => {
  const ask = client(await serve(await listen(mirror), {}, { trustedProxies: parseTrust("127.0.0.1") }));
  const told = age(await ask({ "x-connection-age": said }));
  expect(told).toBeGreaterThanOrEqual(least);
  expect(told).toBeLessThan(least + 5);
});

it("closes a connection over which the API does not want to be asked, and no other", async () => {
  let status = 421;
  const ask = client(
    await serve(
      await listen((incoming, outgoing) => {
        incoming.resume();
        outgoing.writeHead(status, { "content-type": "application/json" }).end('{"detail":"No.","code":"old_connection"}');
      }),
    ),
  );
  const refused = await ask();
  expect([refused.status, refused.headers.connection, JSON.parse(refused.body)]).toEqual([421, "close", { detail: "No.", code: "old_connection" }]);
  status = 409;
  const next = await ask();
  expect([next.headers.connection, next.port === refused.port]).toEqual(["keep-alive", false]);
  expect((await ask()).port).toBe(next.port);
});
