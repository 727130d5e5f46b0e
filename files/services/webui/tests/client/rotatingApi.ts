import { vi } from "vitest";
import type { User } from "../../src/client/api/types";

export const USER: User = {
  id: 7,
  email: "ada@example.test",
  full_name: "Ada",
  role: "admin",
  is_active: true,
  created_at: "2026-01-01T00:00:00Z",
};

/** The session rules of the REST contract: a refresh token serves once, and its second use ends the session. */
export class RotatingApi {
  user = USER;
  serial = 0;
  alive = false;
  spent = new Set<string>();
  calls: string[] = [];
  /** Status of every answer while set, as of a server that is down. */
  down: number | null = null;
  expiresIn = 900;
  /** What to answer to those signed in, by path; elsewhere the path itself. */
  answers: Record<string, unknown> = {};

  constructor() {
    vi.stubGlobal("fetch", (url: string, init: RequestInit) => Promise.resolve(this.#answer(url, init)));
  }

  get access() {
    return `access-${this.serial}`;
  }

  get refresh() {
    return `refresh-${this.serial}`;
  }

  count(path: string): number {
    return this.calls.filter((call) => call === path).length;
  }

  #answer(url: string, init: RequestInit): Response {
    const path = url.replace("/api/v1", "");
    this.calls.push(path);
    if (this.down !== null) return new Response("<html>", { status: this.down });
    const body = init.body ? (JSON.parse(init.body as string) as Record<string, string>) : {};
    if (path === "/auth/login") {
      if (body.password !== "right") return this.#refuse("invalid_credentials");
      this.alive = true;
      return this.#grant();
    }
    if (path === "/auth/refresh") {
      const token = body.refresh_token ?? "";
      if (this.spent.has(token)) this.alive = false;
      if (!this.alive || token !== this.refresh) return this.#refuse("invalid_refresh_token");
      this.spent.add(token);
      return this.#grant();
    }
    const bearer = new Headers(init.headers).get("authorization");
    if (!this.alive || bearer !== `Bearer ${this.access}`) return this.#refuse("token_expired");
    if (path === "/auth/logout") {
      this.alive = false;
      return new Response(null, { status: 204 });
    }
    return Response.json(this.answers[path] ?? { path });
  }

  #grant(): Response {
    this.serial += 1;
    return Response.json({
      success: true,
      access_token: this.access,
      refresh_token: this.refresh,
      token_type: "Bearer",
      expires_in: this.expiresIn,
      user: this.user,
    });
  }

  #refuse(code: string): Response {
    return Response.json({ error: "Refused.", code }, { status: 401 });
  }
}
