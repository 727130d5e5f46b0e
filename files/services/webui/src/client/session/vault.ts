import { number, object } from "../api/check";
import { type Grant, grant } from "../api/types";

/** What proves who is signed in. */
export interface Held {
  grant: Grant;
  /** When to trade it for another one (ms, this browser's clock). */
  renewAt: number;
}

const KEY = "tripod.session";
const held = object({ grant, renewAt: number });

/**
 * Where this browser keeps its session: in localStorage, for all tabs; in memory where that is blocked or full, for this
 * tab alone.
 */
export class Vault {
  #storage: Storage | null;
  #memory: string | null = null;

  /** @param storage Where to keep it; null for memory. */
  constructor(storage: Storage | null = usable()) {
    this.#storage = storage;
  }

  read(): Held | null {
    try {
      return held(JSON.parse((this.#storage ? this.#storage.getItem(KEY) : this.#memory) ?? "null"));
    } catch {
      // Nobody's, of another release, or somebody else's.
      return null;
    }
  }

  write(value: Held): void {
    this.#memory = JSON.stringify(value);
    try {
      this.#storage?.setItem(KEY, this.#memory);
    } catch {
      // Full: what is there has had its day, and other tabs sign in by themselves.
      this.clear();
      this.#storage = null;
      this.#memory = JSON.stringify(value);
    }
  }

  clear(): void {
    this.#memory = null;
    this.#storage?.removeItem(KEY);
  }

  /** Calls back when another tab has signed in, renewed or signed out; returns what ends that. */
  watch(changed: () => void): () => void {
    const listener = ({ key, storageArea }: StorageEvent) => {
      // A null key: all of it was cleared.
      if (storageArea === this.#storage && (key === KEY || key === null)) changed();
    };
    addEventListener("storage", listener);
    return () => removeEventListener("storage", listener);
  }
}

/** This browser's storage; where it is blocked, its very name throws. */
function usable(): Storage | null {
  try {
    const { localStorage } = globalThis;
    localStorage.getItem(KEY);
    return localStorage;
  } catch {
    return null;
  }
}
