import { ApiError, send } from "../api/http";
import type { Grant, User } from "../api/types";

export type SessionState =
  | { status: "starting" }
  | { status: "unreachable"; reason: string }
  | { status: "anonymous"; expired: boolean }
  | { status: "active"; user: User };

interface Rotation {
  /** The refresh token that has served; who still holds it must not use it. */
  spent: string;
  /** What replaced it; null once signed out. */
  grant: Grant | null;
}

const KEY = "tripod.refresh_token";
/** Renew this long before the access token ends, so that no request is sent with one that ends on the way (ms). */
const MARGIN = 20_000;

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
      else this.#forget(false);
    };
  }

  get state(): SessionState {
    return this.#state;
  }

  subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Continues the session a reload has left, if there is one. */
  async resume(): Promise<void> {
    if (!this.storage.getItem(KEY)) {
      this.#become({ status: "anonymous", expired: false });
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

  /** Ends the session here at once, and at the API if it answers. */
  async logout(): Promise<void> {
    const token = this.#access?.token;
    const spent = this.storage.getItem(KEY);
    this.#forget(false);
    if (spent) this.#announce({ spent, grant: null });
    if (token) await send("/auth/logout", "POST", undefined, token).catch(() => undefined);
  }

  /** Sends a request as the person signed in, with a renewed token where the old one has ended. */
  async request<T>(path: string, method = "GET", body?: unknown): Promise<T> {
    if (!this.#access || Date.now() >= this.#access.renewAt) await this.#renew();
    const used = this.#access?.token;
    try {
      return await send<T>(path, method, body, used);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 401)) throw error;
      // Another request may have renewed it meanwhile; the API decides about this one by the token it came with.
      if (this.#access?.token === used) await this.#renew();
      return await send<T>(path, method, body, this.#access?.token);
    }
  }

  /** Trades the refresh token, once, however many requests wait for it. */
  #renew(): Promise<void> {
    this.#renewal ??= this.#trade().finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  async #trade(): Promise<void> {
    const spent = this.storage.getItem(KEY);
    if (!spent) {
      this.#forget(true);
      throw new ApiError(401, "session_ended", "The session has ended; sign in again.");
    }
    try {
      const grant = await send<Grant>("/auth/refresh", "POST", { refresh_token: spent });
      // Signed out while the answer was under way: the new tokens must not bring the session back.
      if (this.storage.getItem(KEY) !== spent) return;
      this.#adopt(grant);
      this.#announce({ spent, grant });
    } catch (error) {
      const refused = error instanceof ApiError && [400, 401, 422].includes(error.status);
      if (refused && this.storage.getItem(KEY) === spent) this.#forget(true);
      throw error;
    }
  }

  #adopt(grant: Grant): void {
    this.storage.setItem(KEY, grant.refresh_token);
    this.#access = {
      token: grant.access_token,
      renewAt: Date.now() + Math.max(grant.expires_in * 1000 - MARGIN, MARGIN / 2),
    };
    this.#become({ status: "active", user: grant.user });
  }

  #forget(expired: boolean): void {
    this.storage.removeItem(KEY);
    this.#access = null;
    this.#become({ status: "anonymous", expired });
  }

  #announce(rotation: Rotation): void {
    this.#channel?.postMessage(rotation);
  }

  #become(state: SessionState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}
