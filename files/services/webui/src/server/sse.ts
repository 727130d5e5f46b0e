/** What a stream of events is made of, in the form of the HTML standard (section 9.2) that the API has. */

/** The largest event that is taken (characters). */
const LARGEST = 512 * 1024;

export interface Block {
  id: string;
  /** Empty of a comment, which says that the other end is there. */
  kind: string;
  /** As it came, with its end. */
  text: string;
}

/** Cuts what comes in pieces into blocks. */
export class Blocks {
  #rest = "";

  constructor(private readonly take: (block: Block) => void) {}

  /** @throws Error A block is larger than any that the API sends. */
  feed(piece: string): void {
    const text = this.#rest + piece;
    let begin = 0;
    for (let end = text.indexOf("\n\n"); end >= 0; end = text.indexOf("\n\n", begin)) {
      const block = text.slice(begin, end + 2);
      begin = end + 2;
      this.take({ id: field(block, "id"), kind: field(block, "event"), text: block });
    }
    this.#rest = text.slice(begin);
    if (this.#rest.length > LARGEST) throw new Error(`an event is larger than ${LARGEST} characters`);
  }
}

function field(block: string, name: string): string {
  return new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1] ?? "";
}

/** An event that is no reading, in the API's form. */
export function notice(kind: string, more: Record<string, string> = {}): Buffer {
  return Buffer.from(`event: ${kind}\ndata: ${JSON.stringify({ time: new Date().toISOString(), ...more })}\n\n`);
}

export const BEAT = Buffer.from(": \n\n");
