import { readFileSync, statSync } from "node:fs";
import http, { type ClientRequest, type RequestOptions } from "node:http";
import https from "node:https";
import type { SecureVersion } from "node:tls";

/** How long a connection to the API waits for another request; the API itself ends it after 5 s (milliseconds). */
const POOLED = 3_000;
/** Connections that wait so. */
const WAITING = 128;

const NEWEST: SecureVersion = "TLSv1.3";

interface Trusting {
  ca?: string;
  minVersion?: SecureVersion;
}

/** The way to the API: over TLS where its address says so, to whom an authority issued a certificate for its name. */
export class Upstream {
  readonly #target: RequestOptions;
  readonly #authority: string | undefined;
  readonly #transport: typeof http | typeof https;
  #stamp = "";
  #trusted: Trusting = {};
  #pool: http.Agent | undefined;

  /**
   * @param target Origin of the API.
   * @param authority File of the certificates that are trusted, read again when it changes; without it Node's own are.
   */
  constructor(target: URL, authority?: string) {
    const host = target.hostname.replace(/^\[(.*)\]$/, "$1");
    this.#target = { protocol: target.protocol, host, ...(target.port ? { port: target.port } : {}) };
    this.#authority = target.protocol === "https:" ? authority : undefined;
    this.#transport = target.protocol === "https:" ? https : http;
  }

  /**
   * Begins a request, over a connection that others may have used or over one of its own.
   *
   * @throws Error The certificates that are trusted cannot be read, and never could.
   */
  request(options: RequestOptions, shared: boolean): ClientRequest {
    this.#read();
    const way = shared ? { agent: this.#shared() } : { agent: false, ...this.#trusted };
    return this.#transport.request({ ...this.#target, ...options, ...way });
  }

  /** A connection is shared by those alone who trust the same. One that waited for others ends by itself. */
  #shared(): http.Agent {
    this.#pool ??= new this.#transport.Agent({ keepAlive: true, timeout: POOLED, maxFreeSockets: WAITING, ...this.#trusted });
    return this.#pool;
  }

  #read(): void {
    if (this.#authority === undefined) return;
    try {
      const { mtimeMs, size, ino } = statSync(this.#authority);
      const stamp = `${mtimeMs} ${size} ${ino}`;
      if (stamp === this.#stamp) return;
      this.#trusted = { ca: readFileSync(this.#authority, "utf8"), minVersion: NEWEST };
      this.#pool = undefined;
      this.#stamp = stamp;
    } catch (error) {
      // What was trusted before still is: the file is away for a moment at most.
      if (this.#trusted.ca === undefined) throw error;
    }
  }
}
