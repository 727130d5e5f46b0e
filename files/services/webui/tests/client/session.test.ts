import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import type { Check } from "../../src/client/api/check";
import { ApiError } from "../../src/client/api/http";
import { Session } from "../../src/client/session/session";
import { Vault } from "../../src/client/session/vault";
import { RotatingApi, Told, USER } from "./rotatingApi";

const anything: Check<unknown> = (value) => value;

let api: RotatingApi;
let session: Session;

beforeEach(() => {
  // Only the clock: pauses between tries are real.
  vi.useFakeTimers({ toFake: ["Date"] });
  api = new RotatingApi();
  session = new Session();
});
afterEach(() => {
  session.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const request = (path: string, from = session) => from.request(path, anything);
const kept = () => new Vault().read()?.grant.refresh_token;

/** Another tab; jsdom tells no other window of a change, so its event is given by hand. */
function open(): Session {
  const tab = new Session();
  onTestFinished(() => tab.close());
  return tab;
}
const told = () => dispatchEvent(new StorageEvent("storage", { key: "tripod.session", storageArea: localStorage }));

describe("signing in", () => {
  it("keeps the session for all tabs, in one place", async () => {
    await session.login("ada@example.test", "right");
    expect(session.state).toEqual({ status: "active", user: USER });
    expect(localStorage).toHaveLength(1);
    expect(sessionStorage).toHaveLength(0);
    expect(kept()).toBe("refresh-1");
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
    await Promise.all([request("/a"), request("/b"), request("/c")]);
    expect(api.count("/auth/refresh")).toBe(1);
    expect(kept()).toBe("refresh-2");
  });

  it("comes before the token ends", async () => {
    vi.setSystemTime(Date.now() + 890_000);
    await request("/a");
    expect(api.calls).toEqual(["/auth/login", "/auth/refresh", "/a"]);
  });

  it("follows a 401 once, for requests side by side, too", async () => {
    api.serial = 41;
    await Promise.all([request("/a"), request("/b")]);
    expect(api.count("/auth/refresh")).toBe(1);
    expect(api.count("/a")).toBe(2);
  });

  it("ends the session where the API refuses it, and says that it has expired", async () => {
    api.alive = false;
    await expect(request("/a")).rejects.toMatchObject({ status: 401 });
    expect(session.state).toEqual({ status: "anonymous", why: "expired" });
    expect(localStorage).toHaveLength(0);
  });

  it("keeps the session while the API is down", async () => {
    vi.setSystemTime(Date.now() + 900_000);
    api.down = 502;
    await expect(request("/a")).rejects.toMatchObject({ status: 502 });
    expect(session.state.status).toBe("active");
    api.down = null;
    await expect(request("/a")).resolves.toEqual({ path: "/a" });
  });

  it.each([401, 200])("keeps the session where something else answers in the API's place, with status %i", async (status) => {
    vi.setSystemTime(Date.now() + 900_000);
    api.down = status;
    await expect(request("/a")).rejects.toMatchObject({ code: "unexpected_answer" });
    expect(session.state.status).toBe("active");
    api.down = null;
    await expect(request("/a")).resolves.toEqual({ path: "/a" });
  });

  it("tries again at once where its answer got lost, while the API still takes the old token", async () => {
    vi.setSystemTime(Date.now() + 900_000);
    api.lose = 2;
    await expect(request("/a")).resolves.toEqual({ path: "/a" });
    expect(api.count("/auth/refresh")).toBe(3);
    expect(session.state.status).toBe("active");
  });
});

describe("a reload", () => {
  function reload(): Session {
    session.close();
    session = new Session();
    return session;
  }

  it("continues the session without a new token", async () => {
    await session.login("ada@example.test", "right");
    const reloaded = reload();
    expect(reloaded.state.status).toBe("starting");
    // React's development mode calls twice.
    await Promise.all([reloaded.resume(), reloaded.resume()]);
    expect(reloaded.state).toEqual({ status: "active", user: USER });
    expect(api.count("/auth/refresh")).toBe(0);
  });

  it("in the midst of a renewal continues the session with the token it had", async () => {
    await session.login("ada@example.test", "right");
    vi.setSystemTime(Date.now() + 900_000);
    api.lose = 1;
    const before = session;
    void before.resume().catch(() => undefined);
    await vi.waitFor(() => expect(api.count("/auth/refresh")).toBe(1));
    const reloaded = reload();
    await reloaded.resume();
    expect(reloaded.state).toEqual({ status: "active", user: USER });
  });

  it("waits while the API is down, instead of losing the session", async () => {
    await session.login("ada@example.test", "right");
    vi.setSystemTime(Date.now() + 900_000);
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

  it.each(["not json", "17", "{}", '{"grant":{"access_token":"a"},"renewAt":1}'])("takes %j in storage for nobody's", async (text) => {
    localStorage.setItem("tripod.session", text);
    await session.resume();
    expect(session.state).toEqual({ status: "anonymous", why: "new" });
  });
});

describe("signing out", () => {
  beforeEach(() => session.login("ada@example.test", "right"));

  it("ends the session here and at the API", async () => {
    await session.logout();
    expect(session.state).toEqual({ status: "anonymous", why: "signed-out" });
    expect(localStorage).toHaveLength(0);
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
    expect(localStorage).toHaveLength(0);
  });

  it("is not undone by a renewal that was under way", async () => {
    api.serial = 41;
    const refused = expect(request("/a")).rejects.toBeInstanceOf(ApiError);
    await session.logout();
    await refused;
    expect(session.state).toEqual({ status: "anonymous", why: "signed-out" });
    expect(localStorage).toHaveLength(0);
  });
});

describe("another tab", () => {
  beforeEach(() => session.login("ada@example.test", "right"));

  it("finds the session", async () => {
    const tab = open();
    await tab.resume();
    expect(tab.state).toEqual({ status: "active", user: USER });
    expect(api.count("/auth/refresh")).toBe(0);
  });

  it("uses what this one has renewed, long after the API's grace", async () => {
    const tab = open();
    await tab.resume();
    api.graceOver = true;
    for (let renewal = 1; renewal <= 3; renewal += 1) {
      vi.setSystemTime(Date.now() + 900_000);
      await request("/a", renewal % 2 ? session : tab);
      await request("/b", renewal % 2 ? tab : session);
      expect(api.count("/auth/refresh")).toBe(renewal);
    }
  });

  it("is signed out together with this one, and in", async () => {
    const tab = open();
    await tab.resume();
    await session.logout();
    told();
    expect(tab.state).toEqual({ status: "anonymous", why: "signed-out" });
    await session.login("ada@example.test", "right");
    told();
    expect(tab.state.status).toBe("active");
  });
});

describe("the role", () => {
  beforeEach(() => session.login("ada@example.test", "right"));

  it("is the new one once the API refuses what the old one allowed", async () => {
    api.user = { ...USER, role: "viewer" };
    api.answers["/users"] = Told.json({ detail: "No.", code: "forbidden" }, { status: 403 });
    await expect(request("/users")).rejects.toMatchObject({ status: 403 });
    await vi.waitFor(() => expect(session.state).toEqual({ status: "active", user: { ...USER, role: "viewer" } }));
    const tab = open();
    await tab.resume();
    expect(tab.state).toMatchObject({ user: { role: "viewer" } });
  });

  it("is asked for once where that itself is refused", async () => {
    api.answers["/auth/me"] = Told.json({ detail: "No.", code: "forbidden" }, { status: 403 });
    await expect(session.reread()).rejects.toMatchObject({ status: 403 });
    await new Promise((done) => setTimeout(done, 50));
    expect(api.count("/auth/me")).toBe(1);
  });
});

describe("storage", () => {
  const blocked = () => {
    throw new DOMException("denied", "SecurityError");
  };

  it.each([
    ["blocked by name", () => vi.spyOn(globalThis, "localStorage", "get").mockImplementation(blocked)],
    ["blocked at every call", () => ["getItem", "setItem", "removeItem"].map((call) => vi.spyOn(Storage.prototype, call as "getItem").mockImplementation(blocked))],
    ["full", () => vi.spyOn(Storage.prototype, "setItem").mockImplementation(blocked)],
  ])("that is %s costs other tabs the session, and this one nothing", async (_how, break_) => {
    break_();
    try {
      const tab = open();
      await tab.resume();
      await tab.login("ada@example.test", "right");
      vi.setSystemTime(Date.now() + 900_000);
      await expect(request("/a", tab)).resolves.toEqual({ path: "/a" });
      expect(tab.state.status).toBe("active");
      await tab.logout();
      expect(tab.state).toEqual({ status: "anonymous", why: "signed-out" });
    } finally {
      vi.restoreAllMocks();
    }
  });
});
