/** An event, as it is sent. */
export interface Item {
  /** By which a reader goes on behind it; empty of what is no reading. */
  id: string;
  bytes: Buffer;
}

/** As many as the API keeps. */
export const KEPT = 300;
/** What they may take together (bytes). */
const MOST = 8 * 1024 * 1024;

/** The last events: kept once, whoever reads them. A reader has no more than a place in their row. */
export class Ring {
  #items: Item[] = [];
  #ids = new Set<string>();
  #bytes = 0;
  #count = 0;

  /** The place behind the last one. */
  get count(): number {
    return this.#count;
  }

  /** The place of the oldest one. */
  get first(): number {
    return this.#count - this.#items.length;
  }

  /** The id of the latest reading; empty where there is none. */
  get latest(): string {
    return this.#items.findLast((item) => item.id)?.id ?? "";
  }

  /** Adds one at the end, unless it is there already. */
  add(item: Item): void {
    if (item.id && this.#ids.has(item.id)) return;
    this.#items.push(item);
    this.#count += 1;
    this.#bytes += item.bytes.length;
    if (item.id) this.#ids.add(item.id);
    while (this.#items.length > KEPT || (this.#bytes > MOST && this.#items.length > 1)) {
      const gone = this.#items.shift();
      this.#bytes -= gone?.bytes.length ?? 0;
      this.#ids.delete(gone?.id ?? "");
    }
  }

  at(place: number): Item | undefined {
    return this.#items[place - this.first];
  }

  /**
   * Returns the place behind an event, and whether that is not known any more: then it is the oldest one's.
   *
   * @param id Empty for none, which is to begin with the latest.
   * @param oldest Without an id, begin with the oldest.
   */
  begin(id: string, oldest: boolean): { place: number; lost: boolean } {
    if (!id) return { place: oldest ? this.first : Math.max(this.first, this.#count - 1), lost: false };
    const at = this.#items.findLastIndex((item) => item.id === id);
    return at < 0 ? { place: this.first, lost: true } : { place: this.first + at + 1, lost: false };
  }
}
