/**
 * A reader of JSON that knows the line of each value, so that what the host says of `lists[0].action` can be shown where it
 * stands; and that finds a key which is there twice, of which others silently take the last.
 */

/** Where the text is no JSON object. */
export interface Fault {
  line: number;
  column: number;
  message: string;
}

export interface Read {
  value: Record<string, unknown>;
  /** The line of each value by its place, e.g. `lists[0].action`; of the whole by "". */
  lines: Map<string, number>;
}

class Wrong extends Error {
  constructor(
    readonly at: number,
    message: string,
  ) {
    super(message);
  }
}

const SPACE = /[ \t\r\n]*/y;
const STRING = /"(?:[^"\\\n]|\\.)*"/y;
const WORD = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
/** Far more than a policy has; each level is a call. */
const DEPTH = 32;

export function read(text: string): Read | Fault {
  try {
    return new Reader(text).document();
  } catch (error) {
    if (!(error instanceof Wrong)) throw error;
    return { ...placeOf(text, error.at), message: error.message };
  }
}

export const isFault = (found: Read | Fault): found is Fault => "message" in found;

function placeOf(text: string, at: number): { line: number; column: number } {
  const before = text.slice(0, at).split("\n");
  return { line: before.length, column: (before.at(-1) ?? "").length + 1 };
}

class Reader {
  #at = 0;
  #line = 1;
  readonly #lines = new Map<string, number>();

  constructor(private readonly text: string) {}

  document(): Read {
    this.#skip();
    if (this.text[this.#at] !== "{") throw this.#expected("an object, so {");
    const value = this.#value("", 0) as Record<string, unknown>;
    this.#skip();
    if (this.#at < this.text.length) throw this.#expected("nothing behind the object's last }");
    return { value, lines: this.#lines };
  }

  #value(place: string, depth: number): unknown {
    if (depth > DEPTH) throw new Wrong(this.#at, `this is nested more than ${DEPTH} deep`);
    this.#skip();
    this.#lines.set(place, this.#line);
    if (this.#take("{")) return this.#object(place, depth);
    if (this.#take("[")) return this.#list(place, depth);
    const text = this.#string();
    if (text !== null) return text;
    const word = this.#match(WORD);
    if (word === null) throw this.#expected("a value");
    return JSON.parse(word);
  }

  #string(): string | null {
    const at = this.#at;
    const found = this.#match(STRING);
    if (found === null) return null;
    try {
      return JSON.parse(found) as string;
    } catch {
      throw new Wrong(at, "this text has a control character, or an escape that JSON does not have");
    }
  }

  #object(place: string, depth: number): Record<string, unknown> {
    const found = new Map<string, unknown>();
    while (!this.#ends("}", found.size > 0)) {
      this.#skip();
      const at = this.#at;
      const name = this.#string();
      if (name === null) throw this.#expected('a key in ""');
      if (found.has(name)) throw new Wrong(at, `the key ${JSON.stringify(name)} is there twice`);
      this.#skip();
      if (!this.#take(":")) throw this.#expected(":");
      found.set(name, this.#value(place ? `${place}.${name}` : name, depth + 1));
    }
    return Object.fromEntries(found);
  }

  #list(place: string, depth: number): unknown[] {
    const found: unknown[] = [];
    while (!this.#ends("]", found.length > 0)) found.push(this.#value(`${place}[${found.length}]`, depth + 1));
    return found;
  }

  /** Whether the end has come, else whether another item may begin. */
  #ends(end: string, begun: boolean): boolean {
    this.#skip();
    if (this.#take(end)) return true;
    if (begun && !this.#take(",")) throw this.#expected(`, or ${end}`);
    return false;
  }

  #skip(): void {
    const space = this.#match(SPACE) ?? "";
    this.#line += space.split("\n").length - 1;
  }

  #take(sign: string): boolean {
    if (this.text[this.#at] !== sign) return false;
    this.#at += 1;
    return true;
  }

  #match(pattern: RegExp): string | null {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.text)?.[0] ?? null;
    if (found !== null) this.#at += found.length;
    return found;
  }

  #expected(what: string): Wrong {
    const found = this.text.slice(this.#at, this.#at + 20).split("\n")[0] ?? "";
    const end = this.#at < this.text.length ? "the end of the line" : "the end";
    return new Wrong(this.#at, `expected ${what}, found ${found === "" ? end : found}`);
  }
}

/** A document as text, as people write it. */
export const written = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** The same text for the same document, in whatever order its keys are. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([one], [other]) => (one < other ? -1 : 1)))
      : part,
  );
}

/** What a part of each kind is known by. */
const IDENTITY: Record<string, string> = { lists: "name", rules: "id", limits: "name", services: "name" };

/** The host counts the parts of all owners, so a part that it names, e.g. `lists[3] (bogons of api)`, is found by its name. */
const PLACE = /(?:^|[\s.])(lists|rules|limits|services)\[(\d+)\](?: \(([^\s)]+)[^)]*\))?((?:\.\w+|\[\d+\])*)/;

/** The line that a sentence of the host is about; null where it names no place of this document. */
export function lineOf(sentence: string, { value, lines }: Read): number | null {
  const [, kind = "", number, name, rest = ""] = PLACE.exec(sentence) ?? [];
  const parts = value[kind];
  if (!Array.isArray(parts)) return null;
  const named = name === undefined ? Number(number) : parts.findIndex((part) => (part as Record<string, unknown> | null)?.[IDENTITY[kind] ?? ""] === name);
  let place = named < 0 ? kind : `${kind}[${named}]${rest}`;
  // What is missing has no line of its own, but what it is missing in has one.
  while (!lines.has(place)) place = place.replace(/(?:\.\w+|\[\d+\])$/, "");
  return lines.get(place) ?? null;
}
