import { Scroll } from "../components/Scroll";
import { difference, type Line } from "./lines";

const LOOKS: Record<Line["sign"], string> = { " ": "text-slate-400", "-": "text-red-300", "+": "text-emerald-300" };
const SAID: Record<Line["sign"], string> = { " ": "", "-": "removed: ", "+": "added: " };

/** Two texts, by the lines in which they differ. */
export function Difference({ label, before, after }: { label: string; before: string; after: string }) {
  const lines = difference(before, after);
  if (lines.length === 0) return <p className="text-sm text-slate-300">The texts are the same.</p>;
  return (
    <Scroll label={label} className="max-h-96 rounded-lg border border-slate-700 bg-slate-900 p-3">
      <pre className="font-mono text-sm">
        {lines.map(({ sign, text }, at) => (
          <div key={at} className={LOOKS[sign]}>
            <span aria-hidden>{sign} </span>
            <span className="sr-only">{SAID[sign]}</span>
            {text}
          </div>
        ))}
      </pre>
    </Scroll>
  );
}
