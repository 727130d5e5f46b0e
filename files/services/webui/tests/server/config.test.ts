import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { load } from "../../src/server/config";

describe("load", () => {
  it("has the defaults of the interface contract", () => {
    const { trustedProxies, ...others } = load({});
    expect(others).toEqual({
      httpPort: 3000,
      apiUrl: new URL("http://flask-backend:5000"),
      logLevel: "info",
    });
    expect(trustedProxies("127.0.0.1")).toBe(false);
  });

  it("finds whom to trust and what the front brings along where the roles put them", () => {
    const directory = mkdtempSync(path.join(tmpdir(), "webui-config-"));
    const file = path.join(directory, "front_secret");
    try {
      writeFileSync(file, "x".repeat(31));
      const environment = { TLS_DIRECTORY: "/run/secrets", FRONT_SECRET_FILE: file };
      expect(() => load(environment)).toThrow(`${file} holds 31 characters, at least 32 are needed`);
      writeFileSync(file, `${"x".repeat(32)}\n`);
      expect(load(environment)).toMatchObject({ authority: "/run/secrets/ca.crt", frontSecret: "x".repeat(32) });
      expect(() => load({ FRONT_SECRET_FILE: `${file}.none` })).toThrow("ENOENT");
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("takes levels as the other services write them", () => {
    expect(load({ LOG_LEVEL: "WARNING" }).logLevel).toBe("warn");
  });

  it("reports every fault at once", () => {
    const environment = { HTTP_PORT: "70000", API_URL: "flask:5000", LOG_LEVEL: "loud", TRUSTED_PROXIES: "yes" };
    expect(() => load(environment)).toThrow(/LOG_LEVEL is "loud".*HTTP_PORT is "70000".*API_URL.*TRUSTED_PROXIES: "yes" is no address/);
  });

  it.each(["ftp://host", "http://host/api", "http://user:pw@host", "http://host?x"])("refuses API_URL %s", (url) => {
    expect(() => load({ API_URL: url })).toThrow("API_URL is not an http or https origin");
  });

  it.each([
    ["192.0.2.1", "192.0.2.1", true],
    ["192.0.2.1", "::ffff:192.0.2.1", true],
    ["192.0.2.0/24, !192.0.2.1", "192.0.2.9", true],
    ["192.0.2.0/24, !192.0.2.1", "192.0.2.1", false],
    ["2001:db8::/32", "2001:db8::7", true],
    ["2001:db8::/32", "192.0.2.1", false],
    ["0.0.0.0/0", "not an address", false],
    ["", "192.0.2.1", false],
  ])("with TRUSTED_PROXIES %j, %s is believed: %s", (trusted, address, believed) => {
    expect(load({ TRUSTED_PROXIES: trusted }).trustedProxies(address)).toBe(believed);
  });

  // A number was one of proxies once; who set one has to say which they are.
  it.each(["1", "yes", "192.0.2.1/33", "192.0.2.0/x", "host.example", "!"])("refuses TRUSTED_PROXIES %j", (trusted) => {
    expect(() => load({ TRUSTED_PROXIES: trusted })).toThrow(`TRUSTED_PROXIES: "${trusted}" is no address and no network`);
  });
});
