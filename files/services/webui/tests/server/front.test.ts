import { expect, it } from "vitest";
import { lines, listen, mirror, type Mirrored, serve } from "./serve";

const SECRET = "fK2mP9xW4tR7vB1nQ8sL5cY3hJ6dG0zA";
const CLAIMS = { "x-forwarded-for": "198.51.100.9", "x-forwarded-proto": "https", "x-forwarded-host": "ui.example", "x-connection-age": "60" };

async function heard(headers: Record<string, string>, frontSecret?: string): Promise<Record<string, string>> {
  const origin = await serve(await listen(mirror), {}, frontSecret ? { frontSecret } : {});
  const answer = await fetch(`${origin}/api/v1/x`, { headers });
  return ((await answer.json()) as Mirrored).headers;
}

it("believes the front, whatever address it comes from, and keeps its secret to itself", async () => {
  const headers = await heard({ ...CLAIMS, "x-front-secret": SECRET }, SECRET);
  expect(headers).toMatchObject({ "x-forwarded-for": "198.51.100.9", "x-forwarded-proto": "https", "x-forwarded-host": "ui.example" });
  expect(Number(headers["x-connection-age"])).toBeGreaterThan(59);
  expect(headers).not.toHaveProperty("x-front-secret");
  expect(lines.join("\n")).toContain("198.51.100.9");
  expect(lines.join("\n")).not.toContain(SECRET);
});

it.each([
  ["without it", {}, SECRET],
  ["with another", { "x-front-secret": SECRET.toLowerCase() }, SECRET],
  ["with a part of it", { "x-front-secret": SECRET.slice(1) }, SECRET],
  ["where there is none", { "x-front-secret": "" }, undefined],
])("believes nobody %s", async (_how, header, secret) => {
  const headers = await heard({ ...CLAIMS, ...header }, secret);
  expect(headers).toMatchObject({ "x-forwarded-for": "127.0.0.1", "x-forwarded-proto": "http" });
  expect(Number(headers["x-connection-age"])).toBeLessThan(30);
  expect(headers).not.toHaveProperty("x-front-secret");
});

it("takes what is no address for nobody's", async () => {
  const headers = await heard({ ...CLAIMS, "x-forwarded-for": "1.1.1.1, 198.51.100.9", "x-front-secret": SECRET }, SECRET);
  expect(headers["x-forwarded-for"]).toBe("127.0.0.1");
});
