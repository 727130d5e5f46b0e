/** A line of two texts beside each other: of both, only of the old one, or only of the new one. */
export interface Line {
  sign: " " | "-" | "+";
  text: string;
}

/** Lines of a change that are compared with each other; the square of it is what a comparison costs. */
const COMPARED = 1_000;
/** Unchanged lines that are shown around each change. */
const AROUND = 2;

/** What differs between two texts, with a few lines around it; "…" stands for what is left out. */
export function difference(before: string, after: string): Line[] {
  const old = before.trimEnd().split("\n");
  const now = after.trimEnd().split("\n");
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(old.length, now.length) - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  const middle = changed(old.slice(head, old.length - tail), now.slice(head, now.length - tail));
  const same = (lines: string[]) => lines.map((text): Line => ({ sign: " ", text }));
  return around([...same(old.slice(0, head)), ...middle, ...same(old.slice(old.length - tail))]);
}

/** The shortest way from one to the other; all of both where they are too long to look for it. */
function changed(old: readonly string[], now: readonly string[]): Line[] {
  const removed = (text: string): Line => ({ sign: "-", text });
  const added = (text: string): Line => ({ sign: "+", text });
  if (old.length > COMPARED || now.length > COMPARED) return [...old.map(removed), ...now.map(added)];
  // common[i][j]: lines that old from i on and now from j on have in common.
  const common = Array.from({ length: old.length + 1 }, () => new Uint16Array(now.length + 1));
  const shared = (i: number, j: number) => common[i]?.[j] ?? 0;
  for (let i = old.length - 1; i >= 0; i -= 1) {
    const row = common[i];
    for (let j = now.length - 1; row && j >= 0; j -= 1) {
      row[j] = old[i] === now[j] ? shared(i + 1, j + 1) + 1 : Math.max(shared(i + 1, j), shared(i, j + 1));
    }
  }
  const lines: Line[] = [];
  let i = 0;
  let j = 0;
  while (i < old.length || j < now.length) {
    const was = old[i];
    const is = now[j];
    if (was !== undefined && was === is) {
      lines.push({ sign: " ", text: was });
      i += 1;
      j += 1;
    } else if (was !== undefined && (is === undefined || shared(i + 1, j) >= shared(i, j + 1))) {
      lines.push(removed(was));
      i += 1;
    } else {
      lines.push(added(is ?? ""));
      j += 1;
    }
  }
  return lines;
}

function around(lines: readonly Line[]): Line[] {
  const near = new Set<number>();
  lines.forEach(({ sign }, at) => {
    if (sign === " ") return;
    for (let other = at - AROUND; other <= at + AROUND; other += 1) near.add(other);
  });
  const shown: Line[] = [];
  lines.forEach((line, at) => {
    if (near.has(at)) shown.push(line);
    else if (at > 0 && near.has(at - 1) && near.size > 0) shown.push({ sign: " ", text: "…" });
  });
  return shown;
}
