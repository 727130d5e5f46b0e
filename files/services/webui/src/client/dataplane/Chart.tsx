import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Verdict } from "../api/types";
import { verdictText } from "../components/Badge";
import { chartOptions, HEIGHT } from "./chartOptions";
import { formatClock, formatMoment, formatRate } from "./format";
import { type Point, totals, WINDOW } from "./rates";

/** How far a key moves, in points; all others are the browser's. */
const STEPS: Record<string, number> = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageDown: -10,
  PageUp: 10,
  Home: -Infinity,
  End: Infinity,
};

/** Returns the place of the point that is nearest to a moment; null where there is none. */
function nearest(points: readonly Point[], time: number): number | null {
  let found: number | null = null;
  points.forEach((point, place) => {
    const best = found === null ? undefined : points[found];
    if (!best || Math.abs(point.time - time) < Math.abs(best.time - time)) found = place;
  });
  return found;
}

interface Props {
  points: readonly Point[];
  /** Null for all together. */
  ifname: string | null;
  verdicts: readonly Verdict[];
  /** How far back it goes, in words and in milliseconds. */
  range: { label: string; span: number };
}

/**
 * Packets per second by verdict over a range; breaks in a line are times nobody measured.
 *
 * The values of one moment are shown under the pointer, and for the keyboard, as a slider over the points.
 */
export function Chart({ points, ifname, verdicts, range: { label, span } }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  /** The moment that the keyboard has chosen (ms); it stays while the window moves on. */
  const [kept, setKept] = useState<number | null>(null);
  /** The point under the pointer. */
  const [under, setUnder] = useState<number | null>(null);
  // By its time: points are a few pixels apart, and the pointer's place says no more than which is near.
  const at = kept === null ? under : nearest(points, kept);
  const shown = verdicts.join();
  const lines = useMemo(() => shown.split(",") as Verdict[], [shown]);

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const chart = new uPlot(chartOptions(element.clientWidth, span, lines, setUnder), [[]], element);
    plot.current = chart;
    const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [lines, span]);

  useEffect(() => {
    const sums = points.map((point) => totals(point, ifname));
    plot.current?.setData([
      points.map((point) => point.time),
      ...lines.map((verdict) => sums.map((sum) => sum?.[verdict].packets ?? null)),
    ]);
    if (kept !== null) plot.current?.setCursor({ left: plot.current.valToPos(kept, "x"), top: 0 });
  }, [points, ifname, lines, span, kept]);

  function move(event: KeyboardEvent): void {
    const step = STEPS[event.key];
    if (step === undefined || points.length === 0) return;
    event.preventDefault();
    const last = points.length - 1;
    const target = points[Math.max(0, Math.min(last, (at ?? last) + step))];
    if (!target) return;
    setKept(target.time);
  }

  // Of a longer range the time alone would be that of several days.
  const told = span === WINDOW ? formatClock : (time: number) => formatMoment(new Date(time).toISOString());
  const chosen = at === null ? undefined : points[at];
  const sum = totals(chosen, ifname);
  const values = chosen && (sum ? lines.map((verdict) => `${verdict} ${formatRate(sum[verdict].packets)}`).join(", ") : "not measured");

  return (
    <>
      <div
        ref={place}
        role="slider"
        tabIndex={0}
        aria-label={`Packets per second by verdict: ${label.toLowerCase()}`}
        aria-valuemin={0}
        aria-valuemax={Math.max(points.length - 1, 0)}
        aria-valuenow={at ?? Math.max(points.length - 1, 0)}
        aria-valuetext={chosen ? `${told(chosen.time)}: ${values ?? ""}` : "The arrow keys choose a moment."}
        onKeyDown={move}
        onPointerMove={() => setKept(null)}
        onBlur={() => {
          if (kept === null) return;
          setKept(null);
          plot.current?.setCursor({ left: -10, top: -10 });
        }}
        className="w-full overflow-hidden"
        data-testid="rate-chart"
        data-points={points.filter((point) => totals(point, ifname)).length}
      />
      <p aria-hidden className="mt-2 flex min-h-6 flex-wrap gap-x-4 text-sm text-slate-300 tabular-nums" data-testid="chart-values">
        {chosen ? (
          <>
            <span>{told(chosen.time)}</span>
            {sum ? (
              lines.map((verdict) => (
                <span key={verdict} className={verdictText(verdict)}>
                  {verdict} {formatRate(sum[verdict].packets)}
                </span>
              ))
            ) : (
              <span>not measured</span>
            )}
          </>
        ) : (
          "Point at the lines, or choose a moment with the arrow keys, for its values."
        )}
      </p>
    </>
  );
}
