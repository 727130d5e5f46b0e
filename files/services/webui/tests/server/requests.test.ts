import { describe, expect, it } from "vitest";
import { closedPort, lines, listen, mirror, type Mirrored, raw, serve } from "./serve";

const ID = /^[0-9a-f]{32}$/;
const NAME = "X-Request-ID";

function logged(): unknown[] {
  return lines.map((line) => (JSON.parse(line) as { request_id?: string }).request_id);
}

describe("the name of a request", () => {
  it("is the client's own, to the API, in the log and in the answer", async () => {
    const origin = await serve(await listen(mirror));
    const response = await fetch(`${origin}/api/v1/x`, { headers: { [NAME]: "trace-7" } });
    expect(((await response.json()) as Mirrored).headers[NAME.toLowerCase()]).toBe("trace-7");
    expect(response.headers.get(NAME)).toBe("trace-7");
    await expect.poll(logged).toEqual(["trace-7"]);
  });

  it.each(["", "a b", "x".repeat(65), "ä"])("is made where the client gives none that is well-formed: %j", async (given) => {
    const origin = await serve(await listen(mirror));
    const response = await fetch(`${origin}/api/v1/x`, { headers: given ? { [NAME]: given } : {} });
    const told = response.headers.get(NAME);
    expect(told).toMatch(ID);
    expect(((await response.json()) as Mirrored).headers[NAME.toLowerCase()]).toBe(told);
  });

  it("is in what this server says of a failure, and in each line about it", async () => {
    const origin = await serve(await closedPort());
    const response = await fetch(`${origin}/api/v1/x`);
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    const told = (await response.json()) as { request_id: string };
    expect(told).toEqual({
      type: "about:blank",
      title: "Bad Gateway",
      status: 502,
      detail: "The API cannot be reached; try again shortly.",
      code: "api_unreachable",
      request_id: response.headers.get(NAME),
      error: "The API cannot be reached; try again shortly.",
    });
    await expect.poll(logged).toEqual([told.request_id, told.request_id]);
  });

  it("is there, too, where no request could be read", async () => {
    const answer = await raw(await serve(await listen(mirror)), "hello\r\n\r\n");
    expect(answer).toContain("Content-Type: application/problem+json\r\n");
    const told = (JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4)) as { request_id: string }).request_id;
    expect(told).toMatch(ID);
    expect(answer).toContain(`${NAME}: ${told}\r\n`);
  });
});
