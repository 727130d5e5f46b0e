import { vi } from "vitest";
import type { User } from "../../src/client/api/types";

export const USER: User = {
  id: 7,
  email: "ada@example.test",
  full_name: "Ada",
  role: "admin",
  is_active: true,
  created_at: "2026-01-01T00:00:00Z",
  etag: '"first"',
};

/**
 * An answer that may be given as often as it is asked for. A Response can be read once, and clones of one share a body that
 * may be given up with the first of them that is collected: whoever reads another then waits without end.
 */
export class Told {
  constructor(
    readonly body: string | null,
    readonly init: ResponseInit = {},
  ) {}

  static json(body: unknown, init: ResponseInit = {}): Told {
    return new Told(JSON.stringify(body), { ...init, headers: { "content-type": "application/json" } });
  }
}

/**
 * The session rules of the REST contract: a refresh token serves once; its second use continues the session within the
 * grace, and ends it afterwards.
 */
export class RotatingApi {
  user = USER;
  serial = 0;
  alive = false;
  /** Whether the last moments were long enough ago that a token must not come again. */
  graceOver = false;
  calls: string[] = [];
  /** The last body of each path. */
  bodies: Record<string, unknown> = {};
  /** The states that changes were for, by method and path. */
  matches: Record<string, string | null> = {};
  /** Status of every answer while set, as of a server that is down. */
  down: number | null = null;
  expiresIn = 900;
  /** What every answer waits for. */
  delay: Promise<void> | undefined;
  /** How many refreshes are carried out, with an answer that gets lost. */
  lose = 0;
  /** What to answer to those signed in, by path or by method and path ("POST /bans"); elsewhere the path itself. */
  answers: Record<string, unknown> = {};

  constructor() {
    vi.stubGlobal("fetch", async (url: string, init: RequestInit) => {
      await this.delay;
      return this.#answer(url, init);
    });
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
      if (token !== this.refresh && this.graceOver) this.alive = false;
      if (!this.alive || !token.startsWith("refresh-")) return this.#refuse("invalid_refresh_token");
      const granted = this.#grant();
      if (this.lose === 0) return granted;
      this.lose -= 1;
      throw new TypeError("Failed to fetch");
    }
    const bearer = new Headers(init.headers).get("authorization");
    if (!this.alive || bearer !== `Bearer ${this.access}`) return this.#refuse("token_expired");
    if (path === "/auth/logout") {
      this.alive = false;
      return new Response(null, { status: 204 });
    }
    if (init.body) this.bodies[path] = body;
    this.matches[`${init.method ?? "GET"} ${path}`] = new Headers(init.headers).get("if-match");
    const asked = [`${init.method ?? "GET"} ${path}`, path].find((key) => key in this.answers);
    if (asked !== undefined) {
      const answer = this.answers[asked];
      return answer instanceof Told ? new Response(answer.body, answer.init) : Response.json(answer);
    }
    return Response.json(path === "/auth/me" ? this.user : { path });
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
    return Response.json({ detail: "Refused.", code }, { status: 401 });
  }
}
