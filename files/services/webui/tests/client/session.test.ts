import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { ApiError } from "../../src/client/api/http";
import { Session } from "../../src/client/session/session";
import { RotatingApi, USER } from "./rotatingApi";

const KEY = "tripod.refresh_token";

let api: RotatingApi;
let session: Session;

beforeEach(() => {
  // Only the clock: the channel between tabs needs real timers.
  vi.useFakeTimers({ toFake: ["Date"] });
  api = new RotatingApi();
  session = new Session();
});
afterEach(() => {
  session.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("signing in", () => {
  it("keeps the refresh token for this tab and the access token nowhere", async () => {
    await session.login("ada@example.test", "right");
    expect(session.state).toEqual({ status: "active", user: USER });
    expect(sessionStorage).toHaveLength(1);
    expect(sessionStorage.getItem(KEY)).toBe("refresh-1");
    expect(localStorage).toHaveLength(0);
  });

  it("passes the API's refusal on", async () => {
    await session.resume();
    await expect(session.login("ada@example.test", "wrong")).rejects.toMatchObject({ status: 401, message: "Refused." });
    expect(session.state).toEqual({ status: "anonymous", why: "new" });
  });
});

describe("renewal", () => {
  beforeEach(() => session.login("ada@example.test", "right"));

  it("happens once for all requests that need it", async () => {
    vi.setSystemTime(Date.now() + 900_000);
    await Promise.all([session.request("/a"), session.request("/b"), session.request("/c")]);
    expect(api.count("/auth/refresh")).toBe(1);
    expect(api.alive).toBe(true);
    expect(sessionStorage.getItem(KEY)).toBe("refresh-2");
  });

  it("comes before the token ends", async () => {
    vi.setSystemTime(Date.now() + 890_000);
    await session.request("/a");
    expect(api.calls).toEqual(["/auth/login", "/auth/refresh", "/a"]);
  });

  it("follows a 401 once, for requests side by side, too", async () => {
    api.serial = 41;
    sessionStorage.setItem(KEY, "refresh-41");
    await Promise.all([session.request("/a"), session.request("/b")]);
    expect(api.count("/auth/refresh")).toBe(1);
    expect(api.count("/a")).toBe(2);
  });

  it("ends the session where the API refuses it, and says that it has expired", async () => {
    api.alive = false;
    await expect(session.request("/a")).rejects.toMatchObject({ status: 401 });
    expect(session.state).toEqual({ status: "anonymous", why: "expired" });
    expect(sessionStorage).toHaveLength(0);
  });

  it("keeps the session while the API is down", async () => {
    vi.setSystemTime(Date.now() + 900_000);
    api.down = 502;
    await expect(session.request("/a")).rejects.toMatchObject({ status: 502 });
    expect(session.state.status).toBe("active");
    api.down = null;
    await expect(session.request("/a")).resolves.toEqual({ path: "/a" });
  });
});

describe("a reload", () => {
  function reload(): Session {
    session.close();
    session = new Session();
    return session;
  }

  it("continues the session", async () => {
    await session.login("ada@example.test", "right");
    const reloaded = reload();
    expect(reloaded.state.status).toBe("starting");
    // React's development mode calls twice.
    await Promise.all([reloaded.resume(), reloaded.resume()]);
    expect(reloaded.state).toEqual({ status: "active", user: USER });
    expect(api.count("/auth/refresh")).toBe(1);
  });

  it("waits while the API is down, instead of losing the session", async () => {
    await session.login("ada@example.test", "right");
    const reloaded = reload();
    api.down = 503;
    await reloaded.resume();
    expect(reloaded.state.status).toBe("unreachable");
    api.down = null;
    await reloaded.resume();
    expect(reloaded.state.status).toBe("active");
  });

  it("finds nobody signed in where nobody was", async () => {
    await session.resume();
    expect(session.state).toEqual({ status: "anonymous", why: "new" });
    expect(api.calls).toEqual([]);
  });
});

describe("signing out", () => {
  beforeEach(() => session.login("ada@example.test", "right"));

  it("ends the session here and at the API", async () => {
    await session.logout();
    expect(session.state).toEqual({ status: "anonymous", why: "signed-out" });
    expect(sessionStorage).toHaveLength(0);
    expect(api.alive).toBe(false);
  });

  it("ends it at the API with a token that is still good", async () => {
    vi.setSystemTime(Date.now() + 900_000);
    await session.logout();
    expect(api.alive).toBe(false);
  });

  it("ends it here even if the API is down", async () => {
    api.down = 502;
    await session.logout();
    expect(session.state).toEqual({ status: "anonymous", why: "signed-out" });
    expect(sessionStorage).toHaveLength(0);
  });

  it("is not undone by a renewal that was under way", async () => {
    api.serial = 41;
    sessionStorage.setItem(KEY, "refresh-41");
    const request = session.request("/a");
    const refused = expect(request).rejects.toBeInstanceOf(ApiError);
    await session.logout();
    await refused;
    expect(session.state).toEqual({ status: "anonymous", why: "signed-out" });
    expect(sessionStorage).toHaveLength(0);
  });
});

describe("a duplicated tab", () => {
  /** A tab's own storage, with a copy of what this tab has. */
  function duplicate(): { tab: Session; storage: Map<string, string> } {
    const storage = new Map([[KEY, sessionStorage.getItem(KEY) ?? ""]]);
    const area = {
      getItem: (key: string) => storage.get(key) ?? null,
      setItem: (key: string, value: string) => storage.set(key, value),
      removeItem: (key: string) => storage.delete(key),
    };
    const tab = new Session(area as unknown as Storage);
    onTestFinished(() => tab.close());
    return { tab, storage };
  }

  it("learns of the new token, so that neither tab is taken for a thief", async () => {
    await session.login("ada@example.test", "right");
    const { tab, storage } = duplicate();
    await tab.resume();
    await vi.waitFor(() => expect(sessionStorage.getItem(KEY)).toBe("refresh-2"));
    await session.request("/a");
    vi.setSystemTime(Date.now() + 900_000);
    await session.request("/a");
    await vi.waitFor(() => expect(storage.get(KEY)).toBe("refresh-3"));
    await expect(tab.request("/b")).resolves.toEqual({ path: "/b" });
    expect(api.count("/auth/refresh")).toBe(2);
  });

  it("is signed out together with the first", async () => {
    await session.login("ada@example.test", "right");
    const { tab, storage } = duplicate();
    await session.logout();
    await vi.waitFor(() => expect(tab.state).toEqual({ status: "anonymous", why: "signed-out" }));
    expect(storage.size).toBe(0);
  });
});
