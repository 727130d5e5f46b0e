import type { Request, RequestHandler, Response } from "express";
import type { Logger } from "pino";
import { Refusal, refuse } from "./answers";
import { UNREACHABLE } from "./proxy";
import { Readers, type Standing, TOKEN } from "./readers";
import { Source } from "./source";
import { BEAT, notice } from "./sse";
import type { Upstream } from "./upstream";

export const EVENTS = "/api/v1/events";

/** Readers at a time, less than a quarter of all connections. */
const MOST = 1_000;
/** Between two questions whether readers still may (milliseconds, as below). */
const CHECK = 500;
/** Nobody is sent anything for whom the API has not vouched for so long. */
const TRUST = 3_000;
/** How long a reader may take nothing, once what waits for it has no room any more. */
const PATIENCE = 30_000;
/** Fronts and browsers take silence for an end. */
const SILENT = 5_000;
/** As the API has it (seconds). */
const LONGEST = 3_600;

/** Somebody who reads, and has no more of its own than a place among the events that all read. */
interface Reader {
  response: Response;
  source: Source;
  token: string;
  /** Null until it is known what the API has kept. */
  place: number | null;
  /** When the API last said that it may read; all moments are the process's own. */
  vouched: number;
  /** When it last took something. */
  took: number;
  /** Whether what waits for it has no room any more. */
  full: boolean;
  /** Whether it has been sent all that was kept when it came. */
  complete: boolean;
  end: number;
}

interface Wanted {
  oldest: boolean;
  seconds: number;
  /** Of the data plane; empty for the only one. */
  host: string;
}

/** What a query asks for; null where the API would refuse it. */
function wanted({ begin = "latest", seconds = String(LONGEST), host = "" }: Request["query"]): Wanted | null {
  if (typeof host !== "string" || !/^[A-Za-z0-9._-]{0,64}$/.test(host)) return null;
  if (begin !== "latest" && begin !== "oldest") return null;
  if (typeof seconds !== "string" || !/^[1-9]\d{0,3}$/.test(seconds) || Number(seconds) > LONGEST) return null;
  return { oldest: begin === "oldest", seconds: Number(seconds), host };
}

/** Passes the API's stream of events on: one of each host of the data plane, however many browsers read it. */
export class Live {
  readonly #readers = new Set<Reader>();
  readonly #standing: Readers;
  /** By host. */
  readonly #sources = new Map<string, Source>();
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly upstream: Upstream,
    private readonly log: Logger,
    private readonly stopping: () => boolean,
  ) {
    this.#standing = new Readers(upstream);
  }

  /** Answers who asks for events as the API does; whatever it would refuse is left to the API. */
  readonly handler: RequestHandler = async (request, response, next) => {
    const [, token = ""] = /^bearer +(.*)$/i.exec(request.get("authorization") ?? "") ?? [];
    const query = wanted(request.query);
    if (request.method !== "GET" || request.path !== EVENTS || !TOKEN.test(token) || !query) {
      next();
      return;
    }
    if (this.#readers.size >= MOST || this.stopping()) {
      refuse(response, new Refusal(503, "overloaded", "Too many read the events; try again shortly.", { "retry-after": "5" }));
      return;
    }
    let standing: Standing;
    const asked = performance.now();
    try {
      standing = await this.#standing.check(token);
    } catch {
      refuse(response, UNREACHABLE);
      return;
    }
    if (!standing.allowed) {
      const challenge: Record<string, string> = standing.status === 401 ? { "www-authenticate": "Bearer" } : {};
      refuse(response, new Refusal(standing.status, standing.code ?? "forbidden", standing.detail ?? "", challenge));
      return;
    }
    if (!response.destroyed) await this.#admit(request, response, token, asked, query);
  };

  async #admit(request: Request, response: Response, token: string, vouched: number, query: Wanted): Promise<void> {
    const now = performance.now();
    const end = now + query.seconds * 1_000;
    const source = this.#sourceOf(query.host);
    const reader: Reader = { response, source, token, place: null, vouched, took: now, full: false, complete: false, end };
    this.#readers.add(reader);
    response.on("close", () => this.#leave(reader));
    response.on("drain", () => {
      reader.full = false;
      reader.took = performance.now();
      this.#send(reader);
    });
    this.#timer ??= setInterval(() => this.#look(), CHECK);
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-store", "x-accel-buffering": "no" });
    response.write("retry: 2000\n\n");
    await source.open();
    const { place, lost } = source.ring.begin(request.get("last-event-id") ?? "", query.oldest);
    if (lost) this.#write(reader, notice("lost"));
    reader.place = place;
    this.#send(reader);
  }

  #sourceOf(host: string): Source {
    const source =
      this.#sources.get(host) ??
      new Source(this.upstream, this.log, host, {
        tokens: () => this.#tokens((reader) => reader.source === this.#sources.get(host)),
        came: () => this.#pass(host),
        over: () => this.#sources.delete(host),
      });
    this.#sources.set(host, source);
    return source;
  }

  #tokens(whose: (reader: Reader) => boolean = () => true): string[] {
    return [...new Set([...this.#readers].filter(whose).map((reader) => reader.token))];
  }

  #leave(reader: Reader): void {
    if (!this.#readers.delete(reader)) return;
    if (![...this.#readers].some(({ source }) => source === reader.source)) reader.source.leave();
    if (this.#readers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #pass(host: string): void {
    const source = this.#sources.get(host);
    for (const reader of this.#readers) if (reader.source === source) this.#send(reader);
  }

  /** Sends what the reader has room for; the rest stays where it is, for all. */
  #send(reader: Reader): void {
    const { ring } = reader.source;
    while (reader.place !== null && !reader.full && performance.now() < reader.vouched + TRUST) {
      if (reader.place < ring.first) {
        reader.place = ring.first;
        this.#write(reader, notice("lost"));
        continue;
      }
      const item = ring.at(reader.place);
      if (!item) {
        // As the API says it.
        if (!reader.complete) this.#write(reader, BEAT);
        reader.complete = true;
        return;
      }
      reader.place += 1;
      this.#write(reader, item.bytes);
    }
  }

  #write(reader: Reader, bytes: Buffer): void {
    if (!this.#readers.has(reader)) return;
    reader.full = !reader.response.write(bytes);
    if (!reader.full) reader.took = performance.now();
  }

  #end(reader: Reader, code: string, detail: string): void {
    if (!this.#readers.has(reader)) return;
    this.#leave(reader);
    reader.response.end(notice("end", { code, detail }));
  }

  /** Ends whom nobody vouches for, who takes nothing, and whose time is over. */
  #look(): void {
    const now = performance.now();
    for (const reader of this.#readers) {
      if (this.stopping()) this.#end(reader, "stopping", "The web interface is stopping; connect again.");
      else if (now > reader.end) this.#end(reader, "stream_over", "This stream is over; connect again.");
      else if (reader.full && now > reader.took + PATIENCE) reader.response.destroy();
      else if (!reader.full && now > reader.took + SILENT) this.#write(reader, BEAT);
    }
    for (const token of this.#tokens()) {
      this.#standing.check(token).then(
        (standing) => this.#learn(token, standing, now),
        // Who cannot be vouched for is sent nothing before long.
        () => undefined,
      );
    }
  }

  #learn(token: string, standing: Standing, asked: number): void {
    for (const reader of this.#readers) {
      if (reader.token !== token) continue;
      if (standing.allowed) {
        reader.vouched = asked;
        this.#send(reader);
      } else {
        this.#end(reader, standing.code ?? "forbidden", standing.detail ?? "");
      }
    }
  }
}
