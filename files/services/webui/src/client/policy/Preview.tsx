import type { PolicyChange } from "../api/types";
import { verdictText } from "../components/Badge";
import { HEAD, TOP_CELL } from "../components/cells";
import { Notice } from "../components/feedback";
import { Scroll } from "../components/Scroll";
import { Difference } from "./Difference";

const TITLE = "text-sm font-semibold text-gold-300";

/** What would become of the policy: its parts, the packets of the last minute, the text. */
export function Preview({ change, before, after }: { change: PolicyChange; before: string; after: string }) {
  if (!change.changed) return <Notice>Nothing would change: this is in force already.</Notice>;
  return (
    <div className="grid gap-4 text-sm text-slate-200" data-testid="policy-preview">
      <Sentences title="What would change" lines={change.summary} />
      <Sentences title="Mind that" lines={change.warnings} />
      <section className="grid gap-2">
        <h3 className={TITLE}>Packets of the last minute&apos;s samples that would be judged otherwise</h3>
        {change.flips.length === 0 ? (
          <p className="text-slate-300">None; only packets that were dropped, or would have been, are sampled.</p>
        ) : (
          <Scroll label="Packets that would be judged otherwise">
            <table className="w-full text-left" data-testid="policy-flips">
              <thead className="border-b border-slate-700 text-slate-400">
                <tr>
                  <th scope="col" className={HEAD}>Packet</th>
                  <th scope="col" className={HEAD}>Now</th>
                  <th scope="col" className={HEAD}>Then</th>
                </tr>
              </thead>
              <tbody className="divide-y divide-slate-700">
                {change.flips.map(({ frame, before: now, after: then }, at) => (
                  <tr key={at}>
                    <th scope="row" className={`${TOP_CELL} font-mono font-normal`}>{frame}</th>
                    <td className={TOP_CELL}><Says text={now} /></td>
                    <td className={TOP_CELL}><Says text={then} /></td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </section>
      <details>
        <summary className={`min-h-11 cursor-pointer content-center ${TITLE}`}>Lines that differ from what is in force</summary>
        <Difference label="Lines that differ from what is in force" before={before} after={after} />
      </details>
    </div>
  );
}

function Sentences({ title, lines }: { title: string; lines: readonly string[] }) {
  return (
    lines.length > 0 && (
      <section className="grid gap-1">
        <h3 className={TITLE}>{title}</h3>
        <ul className="list-inside list-disc wrap-anywhere">
          {lines.map((line, at) => (
            <li key={at}>{line}</li>
          ))}
        </ul>
      </section>
    )
  );
}

/** A verdict with its reason, e.g. "drop list_drop scanners". */
function Says({ text }: { text: string }) {
  const [verdict = ""] = text.split(" ");
  return <span className={verdictText(verdict)}>{text}</span>;
}
