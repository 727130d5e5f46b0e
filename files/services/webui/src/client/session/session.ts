import { ApiError, type Call, openEvents, send } from "../api/http";
import { type Check, nothing } from "../api/check";
import { type Grant, grant, user, type User } from "../api/types";
import { type Held, Vault } from "./vault";

export type SessionState =
  | { status: "starting" }
  | { status: "unreachable"; reason: string }
  | { status: "anonymous"; why: "new" | "expired" | "signed-out" }
  | { status: "active"; user: User };

/** When to renew, as a part of an access token's life: before it ends on the way to the API. */
const RENEWAL = 0.8;

/** Pauses before a renewal without an answer is tried again, all within the grace that the API gives (milliseconds). */
const RETRIES = [300, 1_500];

const ME = "/auth/me";

const ended = () => new ApiError(401, "session_ended", "The session has ended; sign in again.");

/**
 * Who is signed in, and the tokens that prove it: one session for all tabs of a browser.
 *
 * The vault has the one copy that all tabs read, so that one of them renews it for all. A token that two of them spent at the
 * same time, or whose answer got lost in a reload, is accepted by the API again for some seconds.
 */
export class Session {
  #state: SessionState = { status: "starting" };
  #listeners = new Set<() => void>();
  #renewal: Promise<void> | null = null;
  readonly #unwatch: () => void;

  constructor(private readonly vault = new Vault()) {
    this.#unwatch = vault.watch(() => this.#follow());
  }

  get state(): SessionState {
    return this.#state;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Stops following other tabs. */
  close(): void {
    this.#unwatch();
  }

  /** Continues the session that a reload or another tab has left, if there is one. */
  async resume(): Promise<void> {
    const held = this.vault.read();
    if (!held) {
      this.#become({ status: "anonymous", why: "new" });
      return;
    }
    if (!stale(held)) {
      this.#follow();
      return;
    }
    this.#become({ status: "starting" });
    try {
      await this.#renew(held.grant.access_token);
    } catch (error) {
      // An API that is down says nothing about the session; it is kept for the next try.
      if (this.vault.read()) this.#become({ status: "unreachable", reason: (error as Error).message });
    }
  }

  async login(email: string, password: string): Promise<void> {
    this.#adopt(await send("/auth/login", grant, { method: "POST", body: { email, password } }));
  }

  /** Ends the session in all tabs, and at the API if it answers. */
  async logout(): Promise<void> {
    // The API ends the session of the access token it is shown, so that one must be good.
    const held = await this.#good().catch(() => this.vault.read());
    this.#forget("signed-out");
    if (!held) return;
    await send("/auth/logout", nothing, { method: "POST", accessToken: held.grant.access_token }).catch(() => undefined);
  }

  /** Sends a request as the person signed in, with a renewed token where the old one has ended. */
  request<T>(path: string, check: Check<T>, call: Call = {}): Promise<T> {
    return this.#ask((accessToken) => send(path, check, { ...call, accessToken }), path);
  }

  /** Opens the stream of events likewise; it lasts no longer than the token that it was opened with. */
  events(path: string, last: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    return this.#ask((accessToken) => openEvents(path, accessToken, last, signal), path);
  }

  async #ask<T>(ask: (accessToken: string) => Promise<T>, path: string): Promise<T> {
    const used = (await this.#good()).grant.access_token;
    try {
      return await ask(used);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      // The role may be another one by now.
      if (error.status === 403 && path !== ME) void this.reread().catch(() => undefined);
      // Without a session the person has signed out meanwhile, and the answer is of no interest any more.
      const held = this.vault.read();
      if (error.status !== 401 || error.lost || !held) throw error;
      // Where it is another token by now, a request that ran beside this one, or another tab, has renewed it already.
      if (held.grant.access_token === used) await this.#renew(used);
      return await ask((await this.#good()).grant.access_token);
    }
  }

  /** Asks the API who this person is now, as an admin may change that at any time. */
  async reread(): Promise<User> {
    const now = await this.request(ME, user);
    const held = this.vault.read();
    if (held?.grant.user.id === now.id && JSON.stringify(held.grant.user) !== JSON.stringify(now)) {
      this.vault.write({ ...held, grant: { ...held.grant, user: now } });
      this.#follow();
    }
    return now;
  }

  /** Returns what the next request may use. */
  async #good(): Promise<Held> {
    const held = this.vault.read();
    if (held && stale(held)) await this.#renew(held.grant.access_token);
    const now = this.vault.read();
    if (!now) throw ended();
    return now;
  }

  /** Trades the tokens, once, however many requests and tabs wait for it. */
  #renew(used: string): Promise<void> {
    this.#renewal ??= alone(() => this.#trade(used)).finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  async #trade(used: string): Promise<void> {
    const held = this.vault.read();
    if (!held) throw ended();
    if (held.grant.access_token !== used && !stale(held)) {
      this.#follow();
      return;
    }
    const spent = held.grant.refresh_token;
    const replaced = () => this.vault.read()?.grant.refresh_token !== spent;
    try {
      const renewed = await refresh(spent);
      // Signed out, or in, while the answer was under way: these tokens must not bring the session back.
      if (replaced()) this.#follow();
      else this.#adopt(renewed);
    } catch (error) {
      const refused = error instanceof ApiError && !error.lost && [400, 401, 422].includes(error.status);
      if (!refused) throw error;
      if (replaced()) this.#follow();
      else this.#forget("expired");
    }
    if (!this.vault.read()) throw ended();
  }

  #adopt(granted: Grant): void {
    this.vault.write({ grant: granted, renewAt: Date.now() + granted.expires_in * 1000 * RENEWAL });
    this.#follow();
  }

  #forget(why: "expired" | "signed-out"): void {
    this.vault.clear();
    this.#become({ status: "anonymous", why });
  }

  /** Becomes what the vault says, whoever wrote it. */
  #follow(): void {
    const held = this.vault.read();
    if (!held) {
      if (this.#state.status !== "anonymous") this.#become({ status: "anonymous", why: "signed-out" });
    } else if (this.#state.status !== "active" || JSON.stringify(this.#state.user) !== JSON.stringify(held.grant.user)) {
      this.#become({ status: "active", user: held.grant.user });
    }
  }

  #become(state: SessionState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

const stale = (held: Held): boolean => Date.now() >= held.renewAt;

async function refresh(token: string, retries: readonly number[] = RETRIES): Promise<Grant> {
  try {
    return await send("/auth/refresh", grant, { method: "POST", body: { refresh_token: token } });
  } catch (error) {
    const [pause, ...others] = retries;
    if (pause === undefined || !(error instanceof ApiError && error.lost)) throw error;
    await new Promise((done) => setTimeout(done, pause));
    return refresh(token, others);
  }
}

/** Runs work in one tab at a time. Browsers have no locks over plain HTTP; there the API's grace has to do. */
async function alone(work: () => Promise<void>): Promise<void> {
  const { locks } = navigator as Partial<Navigator>;
  if (locks) await locks.request("tripod.session", work);
  else await work();
}
