import type uPlot from "uplot";
import type { Verdict } from "../api/types";
import { formatClock, formatMinute, formatRate, formatShortDay } from "./format";

export const HEIGHT = 280;

/** Below this width labels are short, so that there are several (CSS pixels). */
const NARROW = 560;

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--color-${name}`);
}

const narrow = (plot: uPlot) => plot.width < NARROW;

/** From here on labels are days (milliseconds). */
const DAYS = 2 * 24 * 3_600_000;

/**
 * @param span How far back the chart goes (milliseconds).
 * @param onCursor Takes the index of the point under the cursor, null where it is on none.
 */
export function chartOptions(width: number, span: number, verdicts: readonly Verdict[], onCursor: (index: number | null) => void): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: colour("slate-300"),
    font: "12px Inter Variable, sans-serif",
    grid: { stroke: colour("slate-700"), width: 1 },
    ticks: { stroke: colour("slate-700"), width: 1 },
  };
  return {
    width,
    height: HEIGHT,
    ms: 1,
    legend: { show: false },
    cursor: { points: { size: 6 }, drag: { setScale: false } },
    hooks: { setCursor: [(plot) => onCursor(plot.cursor.idx ?? null)] },
    scales: {
      // The window's end follows the last reading, so that a gap keeps its true width.
      x: { time: true, range: (_plot, _low, high) => [high - span, high] },
      y: { range: (_plot, _low, high) => [0, Math.max(high * 1.1, 10)] },
    },
    axes: [
      {
        ...axis,
        values: (plot, ticks) => ticks.map(span > DAYS ? formatShortDay : narrow(plot) ? formatMinute : formatClock),
        space: (plot) => (narrow(plot) ? 40 : 90),
        size: 32,
      },
      { ...axis, size: (plot) => (narrow(plot) ? 56 : 70), values: (_plot, ticks) => ticks.map(formatRate) },
    ],
    series: [
      {},
      ...verdicts.map((verdict) => ({
        label: verdict,
        stroke: colour(`verdict-${verdict}`),
        width: 2,
        spanGaps: false,
        points: { show: false },
      })),
    ],
  };
}
