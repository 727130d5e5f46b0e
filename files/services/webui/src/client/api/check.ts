/**
 * Checks of what comes from outside: each returns the value as its type, or throws where it is something else.
 *
 * A compiler believes what it is told of an answer; one of a newer API, or of a proxy in its place, would fail at some later
 * line, and take the page with it.
 */
export type Check<T> = (value: unknown, where?: string) => T;

export type Checked<C> = C extends Check<infer T> ? T : never;

/** The value is not of the form expected; the message says where. */
export class Mismatch extends Error {
  constructor(where: string, expected: string) {
    super(`${where || "the answer"} is not ${expected}`);
  }
}

function primitive<T>(expected: string): Check<T> {
  return (value, where = "") => {
    if (typeof value !== expected) throw new Mismatch(where, `a ${expected}`);
    return value as T;
  };
}

export const text = primitive<string>("string");
export const flag = primitive<boolean>("boolean");

export const number: Check<number> = (value, where = "") => {
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Mismatch(where, "a number");
  return value;
};

/** A moment as text (RFC 3339). */
export const moment: Check<string> = (value, where = "") => {
  const written = text(value, where);
  if (Number.isNaN(Date.parse(written))) throw new Mismatch(where, "a time");
  return written;
};

export const nothing: Check<undefined> = () => undefined;

export function orNull<T>(check: Check<T>): Check<T | null> {
  return (value, where) => (value === null ? null : check(value, where));
}

/** A key that may be left out. */
export function optional<T>(check: Check<T>, fallback: T): Check<T> {
  return (value, where) => (value === undefined ? fallback : check(value, where));
}

export function list<T>(check: Check<T>): Check<T[]> {
  return (value, where = "") => {
    if (!Array.isArray(value)) throw new Mismatch(where, "a list");
    return value.map((item, index) => check(item, `${where}[${index}]`));
  };
}

/** An object whose keys are somebody else's to judge. */
export const anything: Check<Record<string, unknown>> = (value, where = "") => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Mismatch(where, "an object");
  return value as Record<string, unknown>;
};

/** An object with at least these keys; others are left out. */
export function object<T extends Record<string, Check<unknown>>>(keys: T): Check<{ [K in keyof T]: Checked<T[K]> }> {
  return (value, where = "") => {
    if (typeof value !== "object" || value === null) throw new Mismatch(where, "an object");
    const known = value as Record<string, unknown>;
    return Object.fromEntries(
      Object.entries(keys).map(([key, check]) => [key, check(known[key], where ? `${where}.${key}` : key)]),
    ) as { [K in keyof T]: Checked<T[K]> };
  };
}
