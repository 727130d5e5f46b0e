import { readFileSync, statSync } from "node:fs";
import http, { type ClientRequest, type RequestOptions } from "node:http";
import https from "node:https";
import type { SecureVersion } from "node:tls";

/** How long a connection to the API waits for another request; the API itself ends it after 5 s (milliseconds). */
const POOLED = 3_000;

const NEWEST: SecureVersion = "TLSv1.3";

/** The way to the API: over TLS where its address says so, to whom an authority issued a certificate for its name. */
export class Upstream {
  readonly #target: URL;
  readonly #authority: string | undefined;
  readonly #transport: typeof http | typeof https;
  readonly #pool: http.Agent;
  #stamp = "";
  #trusted: string | undefined;

  /**
   * @param target Origin of the API.
   * @param authority File of the certificates that are trusted, read again when it changes; without it Node's own are.
   */
  constructor(target: URL, authority?: string) {
    this.#target = target;
    this.#authority = target.protocol === "https:" ? authority : undefined;
    this.#transport = target.protocol === "https:" ? https : http;
    // A connection is shared by those alone who trust the same.
    this.#pool = new this.#transport.Agent({ keepAlive: true, timeout: POOLED, maxFreeSockets: 32 });
  }

  /**
   * Begins a request, over a connection that others may have used or over one of its own.
   *
   * @throws Error The certificates that are trusted cannot be read, and never could.
   */
  request(options: RequestOptions, shared: boolean): ClientRequest {
    const trusted = this.#read();
    const tls = trusted === undefined ? {} : { ca: trusted, minVersion: NEWEST };
    return this.#transport.request(this.#target, { ...options, ...tls, agent: shared ? this.#pool : false });
  }

  #read(): string | undefined {
    if (this.#authority === undefined) return undefined;
    try {
      const { mtimeMs, size, ino } = statSync(this.#authority);
      const stamp = `${mtimeMs} ${size} ${ino}`;
      if (stamp !== this.#stamp) {
        this.#trusted = readFileSync(this.#authority, "utf8");
        this.#stamp = stamp;
      }
    } catch (error) {
      // What was trusted before still is: the file is away for a moment at most.
      if (this.#trusted === undefined) throw error;
    }
    return this.#trusted;
  }
}
