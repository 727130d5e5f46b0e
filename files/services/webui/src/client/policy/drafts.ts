import { number, object, orNull, text } from "../api/check";
import type { Checked } from "../api/check";

const draft = object({
  text,
  /** What was in force when it was begun (canonical). */
  base: text,
  /** The revision that it was put in force as; null where it was not yet. */
  applied: orNull(number),
});
export type Draft = Checked<typeof draft>;

const PREFIX = "tripod.draft";

/** Of one host its key is the same as before there were several. */
export const draftKey = (user: number, policy: string, host = ""): string => `${PREFIX}.${user}.${host && `${host}/`}${policy}`;

/**
 * Drafts of this browser, by key: in localStorage, so that they outlive a reload and an ended session, and all tabs write on
 * the same one; in memory where that is blocked or full.
 */
export class Drafts {
  readonly #memory = new Map<string, string>();
  readonly #listeners = new Set<() => void>();

  /** The draft as it is kept, the same for as long as it is not changed. */
  raw(key: string): string | null {
    try {
      return this.#memory.get(key) ?? localStorage.getItem(key);
    } catch {
      return null;
    }
  }

  write(key: string, value: Draft): void {
    const kept = JSON.stringify(value);
    this.#memory.delete(key);
    try {
      localStorage.setItem(key, kept);
    } catch {
      this.#memory.set(key, kept);
    }
    this.#tell();
  }

  remove(key: string): void {
    this.#memory.delete(key);
    try {
      localStorage.removeItem(key);
    } catch {
      // Nothing was ever kept there.
    }
    this.#tell();
  }

  /** Whether a reload would lose it. */
  fleeting(key: string): boolean {
    return this.#memory.has(key);
  }

  /** Calls back on each change, by another tab, too; returns what ends that. */
  subscribe = (changed: () => void): (() => void) => {
    const fromAnotherTab = ({ key }: StorageEvent) => {
      if (key === null || key.startsWith(PREFIX)) changed();
    };
    this.#listeners.add(changed);
    addEventListener("storage", fromAnotherTab);
    return () => {
      this.#listeners.delete(changed);
      removeEventListener("storage", fromAnotherTab);
    };
  };

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

export function parseDraft(raw: string | null): Draft | null {
  try {
    return raw === null ? null : draft(JSON.parse(raw));
  } catch {
    // Of another release, or somebody else's.
    return null;
  }
}
