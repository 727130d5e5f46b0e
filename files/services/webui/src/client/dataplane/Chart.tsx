import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { VERDICTS, type Verdict } from "../api/types";
import { formatRate } from "./format";
import { type Point, totals, WINDOW } from "./rates";

const HEIGHT = 280;

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--color-${name}`);
}

function options(width: number, verdicts: readonly Verdict[]): uPlot.Options {
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
    scales: {
      // The window's end follows the last reading, so that a gap keeps its true width.
      x: { time: true, range: (_plot, _low, high) => [high - WINDOW, high] },
      y: { range: (_plot, _low, high) => [0, Math.max(high * 1.1, 10)] },
    },
    axes: [
      { ...axis, values: "{HH}:{mm}:{ss}", space: 90, size: 32 },
      { ...axis, size: 70, values: (_plot, ticks) => ticks.map(formatRate) },
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

interface Props {
  points: readonly Point[];
  /** Null for all together. */
  ifname: string | null;
  verdicts: readonly Verdict[];
}

/** Packets per second by verdict over the last five minutes; breaks in a line are times nobody measured. */
export function Chart({ points, ifname, verdicts }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shown = verdicts.join();

  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const chart = new uPlot(options(element.clientWidth, VERDICTS.filter((verdict) => shown.split(",").includes(verdict))), [[]], element);
    plot.current = chart;
    const observer = new ResizeObserver(() => chart.setSize({ width: element.clientWidth, height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = null;
    };
  }, [shown]);

  useEffect(() => {
    const sums = points.map((point) => totals(point, ifname));
    plot.current?.setData([
      points.map((point) => point.time),
      ...VERDICTS.filter((verdict) => shown.split(",").includes(verdict)).map((verdict) => sums.map((sum) => sum?.[verdict].packets ?? null)),
    ]);
  }, [points, ifname, shown]);

  return (
    <div
      ref={place}
      role="img"
      aria-label="Packets per second by verdict over the last five minutes; the figures are in the table below"
      className="w-full overflow-hidden"
      data-testid="rate-chart"
    />
  );
}
