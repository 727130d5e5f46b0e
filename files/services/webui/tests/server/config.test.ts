import { describe, expect, it } from "vitest";
import { load } from "../../src/server/config";

describe("load", () => {
  it("has the defaults of the interface contract", () => {
    expect(load({})).toEqual({
      httpPort: 3000,
      apiUrl: new URL("http://flask-backend:5000"),
      logLevel: "info",
      trustedProxies: 0,
    });
  });

  it("takes levels as the other services write them", () => {
    expect(load({ LOG_LEVEL: "WARNING" }).logLevel).toBe("warn");
  });

  it("reports every fault at once", () => {
    const environment = { HTTP_PORT: "70000", API_URL: "flask:5000", LOG_LEVEL: "loud", TRUSTED_PROXIES: "yes" };
    expect(() => load(environment)).toThrow(/LOG_LEVEL is "loud".*HTTP_PORT is "70000".*API_URL.*TRUSTED_PROXIES/);
  });

  it.each(["ftp://host", "http://host/api", "http://user:pw@host", "http://host?x"])("refuses API_URL %s", (url) => {
    expect(() => load({ API_URL: url })).toThrow("API_URL is not an http or https origin");
  });
});
