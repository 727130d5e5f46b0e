import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type ApiError, explain } from "../api/http";
import { type Attachment, type DataplaneStatus, isVerdict, VERDICTS, type Verdict } from "../api/types";
import { StateBadge, verdictText } from "../components/Badge";
import { Card } from "../components/Card";
import { CELL, HEAD } from "../components/cells";
import { Select } from "../components/Field";
import { Alert, Notice, Spinner } from "../components/feedback";
import { Page } from "../components/Page";
import { Table } from "../components/Table";
import { Chart } from "../dataplane/Chart";
import { formatBits, formatClock, formatCount, formatRate } from "../dataplane/format";
import { type Range, RANGES, usePast } from "../dataplane/past";
import { Problems } from "../dataplane/Problems";
import { reasonText } from "../dataplane/reasons";
import { type InterfaceRates, type Point, type RateRecorder, type Rate, totals } from "../dataplane/rates";
import { useRates } from "../dataplane/useRates";
import { useApi } from "../session/context";

const SECOND = 1_000;
const ALL = "";
const CHOICES = (Object.keys(RANGES) as Range[]).map((range) => [range, RANGES[range].label] as const);
const NAMES: Record<Verdict, string> = {
  pass: "Passed",
  drop: "Dropped",
  tx: "Sent back",
  redirect: "Redirected",
  aborted: "Aborted",
};

export default function DashboardPage({ recorder }: { recorder: RateRecorder }) {
  const api = useApi();
  const rates = useRates(recorder);
  const status = useQuery({ queryKey: ["status"], queryFn: api.dataplaneStatus, refetchInterval: 5 * SECOND, retry: false });
  const [chosen, setChosen] = useState(ALL);
  const [range, setRange] = useState<Range>("live");
  const past = usePast(range);

  const points = rates?.history.points ?? recorder.history.points;
  const charted = range === "live" ? points : (past.data ?? []);
  const latest = points.at(-1);
  const names = [...new Set(points.flatMap((point) => [...point.interfaces.keys()]))].sort();
  const ifname = names.includes(chosen) ? chosen : null;
  const now = totals(latest, ifname);
  // Pass and drop always; the others only where the program uses them.
  const verdicts = VERDICTS.filter(
    (verdict) => verdict === "pass" || verdict === "drop" || used(latest, verdict) || charted.some((point) => (totals(point, ifname)?.[verdict].packets ?? 0) > 0),
  );
  const lastGood = points.findLast((point) => point.interfaces.size > 0);
  const reset = rates?.history.resets.at(-1);

  return (
    <Page
      title="Dashboard"
      lead="What the XDP programs of this host decide, second by second."
      aside={
        names.length > 1 && (
          <Select
            label="Interface"
            value={ifname ?? ALL}
            options={[[ALL, "All interfaces"], ...names.map((name) => [name, name] as const)]}
            onSelect={setChosen}
            className="w-48"
          />
        )
      }
    >
      {rates?.failure && (
        <Alert>
          {explain(rates.failure)} {lastGood ? `The last figures are of ${formatClock(lastGood.time)}.` : ""}
        </Alert>
      )}
      {status.isSuccess && <Problems problems={status.data.problems} />}
      {reset && (
        <Notice>
          The counters of {reset.interface} started anew at {formatClock(reset.time)}; that second has no rate.
        </Notice>
      )}

      <ul className="grid grid-cols-2 gap-4 sm:grid-cols-[repeat(auto-fit,minmax(11rem,1fr))]">
        {verdicts.map((verdict) => (
          <Tile key={verdict} verdict={verdict} rate={now?.[verdict] ?? null} />
        ))}
      </ul>

      <Card
        title={`Packets per second, ${ifname ?? "all interfaces"}`}
        aside={<Select label="Range" value={range} options={CHOICES} onSelect={setRange} className="w-44" />}
      >
        {past.isError && <Alert>{explain(past.error)}</Alert>}
        <Chart points={charted} ifname={ifname} verdicts={verdicts} range={RANGES[range]} />
      </Card>

      <div className="grid gap-6 xl:grid-cols-[3fr_2fr]">
        <Card title="By reason">
          {latest && latest.interfaces.size > 0 ? (
            <Reasons point={latest} ifname={ifname} />
          ) : rates ? (
            <p className="text-sm text-slate-300">
              {rates.failure ? `No figures while ${silent(rates.failure)} does not answer.` : "No XDP program of this host is watched."}
            </p>
          ) : (
            <Spinner label="Reading the counters" />
          )}
        </Card>
        <Card
          title="Programs"
          aside={!status.isPending && <DataplaneBadge status={status.isError ? undefined : status.data} />}
        >
          {status.isPending && <Spinner label="Asking the data plane" />}
          {status.isError && <Alert>{explain(status.error)}</Alert>}
          {status.isSuccess && <Programs attachments={status.data.interfaces} reachable={status.data.reachable} />}
        </Card>
      </div>
    </Page>
  );
}

/** Who is silent where the API gives an error in place of the counters. */
function silent({ code }: ApiError): string {
  if (code === "dataplane_unavailable") return "the data plane";
  return code === "database_unavailable" ? "the database" : "the API";
}

/** The data plane's state; undefined where the API did not tell, as what it told before may not hold any more. */
function DataplaneBadge({ status }: { status: DataplaneStatus | undefined }) {
  const good = status?.reachable && status.status === "serving";
  return (
    <span data-testid="dataplane-status" data-value={status?.status ?? "unknown"}>
      <StateBadge state={status ? (good ? "good" : "bad") : "unknown"}>{status?.status.replaceAll("_", " ") ?? "not known"}</StateBadge>
    </span>
  );
}

function used(point: Point | undefined, verdict: Verdict): boolean {
  return [...(point?.interfaces.values() ?? [])].some((rates) => rates?.some((rate) => rate.verdict === verdict && rate.total > 0));
}

function Tile({ verdict, rate }: { verdict: Verdict; rate: Rate | null }) {
  return (
    <li className="rounded-lg border border-slate-700 bg-slate-800 p-4">
      <p className={`text-sm font-medium ${verdictText(verdict)}`}>{NAMES[verdict]}</p>
      <p className="mt-1 flex flex-wrap items-baseline gap-x-2">
        <span
          data-testid={`rate-${verdict}`}
          data-value={rate ? Math.round(rate.packets * 10) / 10 : ""}
          className="text-2xl font-semibold text-slate-200 tabular-nums sm:text-3xl"
        >
          {rate ? formatRate(rate.packets) : "–"}
        </span>
        <span className="text-sm text-slate-400">packets/s</span>
      </p>
      <p className="mt-1 text-sm text-slate-400 tabular-nums">{rate ? formatBits(rate.bytes) : "not known"}</p>
    </li>
  );
}

/** Where a verdict stands among the others; one without a name comes last. */
const rank = (verdict: string) => (isVerdict(verdict) ? VERDICTS.indexOf(verdict) : VERDICTS.length);

function Reasons({ point, ifname }: { point: Point; ifname: string | null }) {
  const shown = [...point.interfaces].filter(([name]) => ifname === null || name === ifname);
  return (
    <Table
      label="Packets by reason"
      head={
        <>
          <th scope="col" className={HEAD}>Interface</th>
          <th scope="col" className={HEAD}>Verdict</th>
          <th scope="col" className={HEAD}>Reason</th>
          <th scope="col" className={`${HEAD} text-right`}>Packets/s</th>
          <th scope="col" className={`${HEAD} text-right max-sm:hidden`}>Total</th>
        </>
      }
    >
      {shown.map(([name, rates]) => (
        <ReasonRows key={name} name={name} rates={rates} />
      ))}
    </Table>
  );
}

function ReasonRows({ name, rates }: { name: string; rates: InterfaceRates }) {
  const lines = (rates ?? [])
    .filter((rate) => rate.total > 0)
    .sort((one, other) => rank(one.verdict) - rank(other.verdict));
  if (lines.length === 0) {
    return (
      <tr>
        <th scope="row" className={`${CELL} font-mono font-normal`}>{name}</th>
        <td colSpan={4} className={`${CELL} text-slate-400`}>{rates ? "No packet yet." : "Not known: that takes two readings of its counters."}</td>
      </tr>
    );
  }
  return lines.map((rate) => (
    <tr key={`${rate.verdict} ${rate.reason}`} data-testid={`reason-${name}-${rate.verdict}-${rate.reason}`} data-value={Math.round(rate.packets * 10) / 10}>
      <th scope="row" className={`${CELL} font-mono font-normal`}>{name}</th>
      <td className={`${CELL} font-medium ${verdictText(rate.verdict)}`}>{rate.verdict}</td>
      <td className={CELL}>{reasonText(rate.reason)}</td>
      <td className={`${CELL} text-right tabular-nums`}>{formatRate(rate.packets)}</td>
      <td className={`${CELL} text-right text-slate-300 tabular-nums max-sm:hidden`}>{formatCount(rate.total)}</td>
    </tr>
  ));
}

function Programs({ attachments, reachable }: { attachments: Attachment[]; reachable: boolean }) {
  if (!reachable) {
    return (
      <p className="text-sm text-slate-300">
        The control service does not answer. Programs that are attached stay in the kernel and go on filtering.
      </p>
    );
  }
  if (attachments.length === 0) return <p className="text-sm text-slate-300">No program is attached.</p>;
  return (
    <ul className="grid gap-4">
      {attachments.map(({ name, mode, program }) => (
        <li key={name} data-testid={`program-${name}`} className="rounded-lg border border-slate-700 bg-slate-900/60 p-4">
          <p className="font-mono text-sm font-semibold text-slate-200">{name}</p>
          <dl className="mt-2 grid grid-cols-[auto_1fr] gap-x-6 gap-y-1 text-sm">
            <dt className="text-slate-400">Program</dt>
            <dd className="text-slate-200">{program.name} <span className="text-slate-400">id {program.id}</span></dd>
            <dt className="text-slate-400">Tag</dt>
            <dd className="font-mono break-all text-slate-200">{program.tag}</dd>
            <dt className="text-slate-400">Mode</dt>
            <dd className="text-slate-200">{mode}</dd>
          </dl>
        </li>
      ))}
    </ul>
  );
}
