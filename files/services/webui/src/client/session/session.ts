import { ApiError, send } from "../api/http";
import type { Grant, User } from "../api/types";

export type SessionState =
  | { status: "starting" }
  | { status: "unreachable"; reason: string }
  | { status: "anonymous"; why: "new" | "expired" | "signed-out" }
  | { status: "active"; user: User };

interface Rotation {
  /** The refresh token that has served; who still holds it must not use it. */
  spent: string;
  /** What replaced it; null once signed out. */
  grant: Grant | null;
}

const KEY = "tripod.refresh_token";
/**
 * When to renew, as parts of an access token's life: before it ends on the way to the API, and each tab
 * at a moment of its own, as two that used the same refresh token at once would end the session.
 */
const RENEWAL = { earliest: 0.75, latest: 0.95 };

const ended = () => new ApiError(401, "session_ended", "The session has ended; sign in again.");

/**
 * Who is signed in, and the tokens that prove it.
 *
 * The access token stays in memory. The refresh token, which has to survive a reload, is in sessionStorage: other tabs
 * and later browser runs don't have it, unlike with localStorage. An HttpOnly cookie would be out of scripts' reach, but the
 * API takes the token in a JSON body, and a proxy that rewrites bodies would be a second party to every
 * session. What remains is script injection, against which stand the content security policy (own scripts only)
 * and the API itself: a refresh token serves once, and its second use ends the session.
 *
 * A duplicated tab starts with a copy of sessionStorage. The tabs tell each other of each new token, or the second
 * one to renew would look like a thief to the API.
 */
export class Session {
  #state: SessionState = { status: "starting" };
  #listeners = new Set<() => void>();
  #access: { token: string; renewAt: number } | null = null;
  #renewal: Promise<void> | null = null;
  #channel: BroadcastChannel | null = null;

  constructor(private readonly storage: Storage = sessionStorage) {
    if (typeof BroadcastChannel === "undefined") return;
    this.#channel = new BroadcastChannel("tripod.session");
    this.#channel.onmessage = ({ data }: MessageEvent<Rotation>) => {
      if (data.spent !== this.storage.getItem(KEY)) return;
      if (data.grant) this.#adopt(data.grant);
      else this.#forget("signed-out");
    };
  }

  get state(): SessionState {
    return this.#state;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Stops listening to other tabs. */
  close(): void {
    this.#channel?.close();
  }

  /** Continues the session a reload has left, if there is one. */
  async resume(): Promise<void> {
    if (!this.storage.getItem(KEY)) {
      this.#become({ status: "anonymous", why: "new" });
      return;
    }
    this.#become({ status: "starting" });
    try {
      await this.#renew();
    } catch (error) {
      // An API that is down says nothing about the session; it is kept for the next try.
      if (this.storage.getItem(KEY)) this.#become({ status: "unreachable", reason: (error as Error).message });
    }
  }

  async login(email: string, password: string): Promise<void> {
    this.#adopt(await send<Grant>("/auth/login", "POST", { email, password }));
  }

  /** Ends the session here, and at the API if it answers. */
  async logout(): Promise<void> {
    // The API ends the session of the access token it is shown, so that one must be good.
    if (this.#stale()) await this.#renew().catch(() => undefined);
    const token = this.#access?.token;
    const spent = this.storage.getItem(KEY);
    this.#forget("signed-out");
    if (spent) this.#announce({ spent, grant: null });
    if (token) await send("/auth/logout", "POST", undefined, token).catch(() => undefined);
  }

  /** Sends a request as the person signed in, with a renewed token where the old one has ended. */
  async request<T>(path: string, method = "GET", body?: unknown): Promise<T> {
    if (this.#stale()) await this.#renew();
    const used = this.#access?.token;
    try {
      return await send<T>(path, method, body, used);
    } catch (error) {
      // Without a token the person has signed out meanwhile, and the answer is of no interest any more.
      if (!(error instanceof ApiError && error.status === 401) || !this.#access) throw error;
      // Where it is another token by now, a request that ran beside this one has renewed it already.
      if (this.#access.token === used) await this.#renew();
      return await send<T>(path, method, body, this.#access.token);
    }
  }

  #stale(): boolean {
    return !this.#access || Date.now() >= this.#access.renewAt;
  }

  /** Trades the refresh token, once, however many requests wait for it. */
  #renew(): Promise<void> {
    this.#renewal ??= this.#trade().finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  async #trade(): Promise<void> {
    const spent = this.storage.getItem(KEY);
    if (!spent) throw ended();
    try {
      const grant = await send<Grant>("/auth/refresh", "POST", { refresh_token: spent });
      // Signed out while the answer was under way: the new tokens must not bring the session back.
      if (this.storage.getItem(KEY) !== spent) throw ended();
      this.#adopt(grant);
      this.#announce({ spent, grant });
    } catch (error) {
      const refused = error instanceof ApiError && [400, 401, 422].includes(error.status);
      if (refused && this.storage.getItem(KEY) === spent) this.#forget("expired");
      throw error;
    }
  }

  #adopt(grant: Grant): void {
    this.storage.setItem(KEY, grant.refresh_token);
    const part = RENEWAL.earliest + Math.random() * (RENEWAL.latest - RENEWAL.earliest);
    this.#access = { token: grant.access_token, renewAt: Date.now() + grant.expires_in * 1000 * part };
    this.#become({ status: "active", user: grant.user });
  }

  #forget(why: "expired" | "signed-out"): void {
    this.storage.removeItem(KEY);
    this.#access = null;
    this.#become({ status: "anonymous", why });
  }

  #announce(rotation: Rotation): void {
    this.#channel?.postMessage(rotation);
  }

  #become(state: SessionState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}
