import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { isIP, type Socket } from "node:net";
import { plain, type Trust } from "./trust";

/** Who sent a request, as far as what was said of it is believed. */
export interface Client {
  /** Empty where it is gone already. */
  ip: string;
  protocol: string;
  /** Empty in HTTP/1.0, which may do without. */
  host: string;
  /**
   * How long it has been connected (seconds): to the front or a trusted proxy before this server, where that says so, or to this server.
   *
   * The API needs it of a confirmation, which proves something only over a connection that was made after the change.
   */
  age: number;
}

/** When each client's connection was accepted (milliseconds of the process's own clock). */
const accepted = new WeakMap<Socket, number>();

export function accept(socket: Socket): void {
  accepted.set(socket, performance.now());
}

const met = new WeakMap<IncomingMessage, Client>();

/** Who sent a request that `Clients` has met. */
export function clientOf(request: IncomingMessage): Client {
  const client = met.get(request);
  if (!client) throw new Error("the request has not been met");
  return client;
}

/** The first of what several proxies said one after the other. */
const first = (header: string | undefined): string => (header ?? "").split(",", 1)[0]?.trim() ?? "";

const header = (request: IncomingMessage, name: string): string | undefined => {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
};

/** Tells who sends requests: through proxies that are trusted, or through the front on this host. */
export class Clients {
  readonly #secret: Buffer | undefined;

  /**
   * @param trusts Whether the proxy at an address is believed.
   * @param secret The front's, whose address says nothing, as everybody on the host comes from it: it alone knows this.
   */
  constructor(
    private readonly trusts: Trust,
    secret?: string,
  ) {
    this.#secret = secret ? Buffer.from(secret) : undefined;
  }

  /** Finds out who sent a request, before anybody else reads its headers: the front's secret leaves them. */
  meet(request: IncomingMessage): Client {
    const given = header(request, "x-front-secret");
    if (given !== undefined) delete request.headers["x-front-secret"];
    const client = this.#isFront(given) ? this.#byFront(request) : this.#byAddresses(request);
    met.set(request, client);
    return client;
  }

  #isFront(given: string | undefined): boolean {
    if (!this.#secret || !given) return false;
    const said = Buffer.from(given);
    return said.length === this.#secret.length && timingSafeEqual(said, this.#secret);
  }

  /** The front names one client, and knows no other proxy before it. */
  #byFront(request: IncomingMessage): Client {
    const others = this.#byAddresses(request);
    const ip = header(request, "x-forwarded-for") ?? "";
    return {
      ip: isIP(ip) ? ip : others.ip,
      protocol: header(request, "x-forwarded-proto") ?? others.protocol,
      host: header(request, "x-forwarded-host") ?? others.host,
      age: connected(request, true),
    };
  }

  #byAddresses(request: IncomingMessage): Client {
    const address = request.socket.remoteAddress ?? "";
    const host = request.headers.host ?? "";
    if (!this.trusts(address)) return { ip: plain(address), protocol: "http", host, age: connected(request, false) };
    // From the nearest to the farthest that is not trusted.
    const hops = (header(request, "x-forwarded-for") ?? "").split(",").map((hop) => hop.trim());
    let ip = address;
    for (const hop of hops.reverse()) {
      if (!hop || !this.trusts(ip)) break;
      ip = hop;
    }
    return {
      ip: plain(ip),
      protocol: first(header(request, "x-forwarded-proto")) || "http",
      host: first(header(request, "x-forwarded-host")) || host,
      age: connected(request, true),
    };
  }
}

function connected(request: IncomingMessage, believed: boolean): number {
  const now = performance.now();
  const here = (now - (accepted.get(request.socket) ?? now)) / 1_000;
  const before = believed ? Number(header(request, "x-connection-age") ?? 0) : 0;
  return before >= 0 && Number.isFinite(before) ? here + before : here;
}
