import { useMutation, useQuery } from "@tanstack/react-query";
import { type SubmitEvent, useState } from "react";
import { explain } from "../api/http";
import type { Step, Trace } from "../api/types";
import { verdictText } from "../components/Badge";
import { Button } from "../components/Button";
import { Card } from "../components/Card";
import { Field, Select, TextArea } from "../components/Field";
import { Alert, Spinner } from "../components/feedback";
import { Page } from "../components/Page";
import { Scroll } from "../components/Scroll";
import { Tabs } from "../components/Tabs";
import { buildFrame, type Faults, formatHex, type FrameFields, parseHex, toHex } from "../dataplane/frame";
import { reasonText } from "../dataplane/reasons";
import { useApi } from "../session/context";

const EXAMPLE: Record<FrameFields["version"], Pick<FrameFields, "source" | "destination">> = {
  "4": { source: "192.0.2.1", destination: "198.51.100.1" },
  "6": { source: "2001:db8::1", destination: "2001:db8::2" },
};

export default function TracerPage() {
  const api = useApi();
  const status = useQuery({ queryKey: ["status"], queryFn: api.dataplaneStatus });
  const [chosen, setChosen] = useState<string | null>(null);
  const names = status.data?.interfaces.map(({ name }) => name) ?? [];
  const ifname = chosen !== null && names.includes(chosen) ? chosen : names[0];
  const trace = useMutation({
    mutationFn: ({ target, frame }: { target: string; frame: string }) => api.trace(target, frame),
  });
  const run = (frame: string) => {
    if (ifname) trace.mutate({ target: ifname, frame });
  };
  // A verdict is one of what was traced, and of nothing that was typed since.
  const forget = () => {
    if (!trace.isIdle) trace.reset();
  };

  return (
    <Page title="Packet tracer" lead="Runs a frame through the attached program and its policy. Nothing is sent, and no counter moves.">
      {status.isPending && <Spinner label="Asking for interfaces" />}
      {status.isError && <Alert>{explain(status.error)}</Alert>}
      {status.isSuccess && !ifname && (
        <Alert>
          {status.data.reachable
            ? "No program is attached to any interface, so there is nothing to trace through."
            : "The data plane's control service does not answer; try again shortly."}
        </Alert>
      )}
      {ifname && (
        <div className="grid items-start gap-6 xl:grid-cols-[3fr_2fr]">
          <Card>
            <Select label="Interface" value={ifname} options={names.map((name) => [name, name] as const)} onSelect={(name) => {
                setChosen(name);
                forget();
              }} className="mb-6 max-w-xs" />
            <Tabs
              label="How to give the frame"
              onChange={forget}
              tabs={[
                { id: "fields", label: "Build a frame", panel: <FieldsForm busy={trace.isPending} onEdit={forget} onRun={run} /> },
                { id: "hex", label: "Paste hex", panel: <HexForm busy={trace.isPending} onEdit={forget} onRun={run} /> },
              ]}
            />
          </Card>
          <Card title="Result">
            <div aria-live="polite">
              {trace.isIdle && <p className="text-sm text-slate-300">The verdict, its reason and who said what will be here.</p>}
              {trace.isPending && <Spinner label="Tracing" />}
              {trace.isError && <Alert>{explain(trace.error)}</Alert>}
              {trace.isSuccess && <Result trace={trace.data} />}
            </div>
            {trace.variables && (
              <details className="mt-4 text-sm">
                <summary className="cursor-pointer text-slate-300">Frame, {trace.variables.frame.length / 2} bytes</summary>
                <Scroll label="Frame in hex" className="mt-2 rounded-lg bg-slate-900 p-3 text-slate-200">
                  <pre data-testid="trace-frame">{formatHex(trace.variables.frame)}</pre>
                </Scroll>
              </details>
            )}
          </Card>
        </div>
      )}
    </Page>
  );
}

interface FormProps {
  busy: boolean;
  /** The frame is another one from now on. */
  onEdit: () => void;
  onRun: (hex: string) => void;
}

function FieldsForm({ busy, onEdit, onRun }: FormProps) {
  const [fields, setFields] = useState<FrameFields>({
    version: "4",
    ...EXAMPLE["4"],
    protocol: "tcp",
    sourcePort: "40000",
    destinationPort: "443",
    vlan: "",
  });
  const [faults, setFaults] = useState<Faults>({});
  const set = (change: Partial<FrameFields>) => {
    setFields({ ...fields, ...change });
    onEdit();
  };

  function submit(event: SubmitEvent<HTMLFormElement>): void {
    event.preventDefault();
    const built = buildFrame(fields);
    setFaults(built.faults ?? {});
    if (built.frame) onRun(toHex(built.frame));
  }

  const text = (name: "source" | "destination" | "sourcePort" | "destinationPort" | "vlan") => ({
    value: fields[name],
    fault: faults[name],
    onChange: (event: { target: { value: string } }) => set({ [name]: event.target.value }),
    autoComplete: "off",
    spellCheck: false,
  });

  return (
    <form noValidate onSubmit={submit} className="grid gap-4">
      <div className="grid gap-4 sm:grid-cols-3">
        <Select
          label="IP version"
          value={fields.version}
          options={[["4", "IPv4"], ["6", "IPv6"]]}
          onSelect={(version) => {
            set({ version, ...EXAMPLE[version] });
            setFaults({});
          }}
        />
        <Select label="Protocol" value={fields.protocol} options={[["tcp", "TCP"], ["udp", "UDP"], ["icmp", "ICMP echo"]]} onSelect={(protocol) => set({ protocol })} />
        <Field label="VLAN" hint="Empty: untagged" inputMode="numeric" {...text("vlan")} />
      </div>
      <div className="grid gap-4 sm:grid-cols-2">
        <Field label="Source address" {...text("source")} />
        <Field label="Destination address" {...text("destination")} />
        {fields.protocol !== "icmp" && (
          <>
            <Field label="Source port" inputMode="numeric" {...text("sourcePort")} />
            <Field label="Destination port" inputMode="numeric" {...text("destinationPort")} />
          </>
        )}
      </div>
      <Button type="submit" busy={busy} className="justify-self-start">Trace</Button>
    </form>
  );
}

function HexForm({ busy, onEdit, onRun }: FormProps) {
  const [text, setText] = useState("");
  const [fault, setFault] = useState<string>();

  function submit(event: SubmitEvent<HTMLFormElement>): void {
    event.preventDefault();
    const { hex, fault } = parseHex(text);
    setFault(fault);
    if (hex) onRun(hex);
  }

  return (
    <form noValidate onSubmit={submit} className="grid gap-4">
      <TextArea
        label="Frame in hex"
        hint="From the destination MAC on. Spaces, colons and the offsets of tcpdump -xx are skipped."
        fault={fault}
        rows={8}
        spellCheck={false}
        autoComplete="off"
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          onEdit();
        }}
      />
      <Button type="submit" busy={busy} className="justify-self-start">Trace</Button>
    </form>
  );
}

function Result({ trace }: { trace: Trace }) {
  return (
    <div data-testid="trace-result">
      <p className={`text-3xl font-semibold ${verdictText(trace.verdict)}`} data-testid="trace-verdict">{trace.verdict}</p>
      <dl className="mt-4 grid grid-cols-[auto_1fr] gap-x-6 gap-y-2 text-sm text-slate-200">
        <dt className="text-slate-400">Reason</dt>
        <dd data-testid="trace-reason" data-value={trace.reason}>{reasonText(trace.reason)}</dd>
        {trace.would && (
          <>
            <dt className="text-slate-400">Observed</dt>
            <dd data-testid="trace-would" data-value={trace.would.reason}>
              would be <span className={`font-medium ${verdictText(trace.would.verdict)}`}>{trace.would.verdict}</span>: {reasonText(trace.would.reason)}
            </dd>
          </>
        )}
        <dt className="text-slate-400">Path</dt>
        <dd>{trace.path.length > 0 ? <Path steps={trace.path} /> : "No part of the policy was asked."}</dd>
        <dt className="text-slate-400">Interface</dt>
        <dd className="font-mono">{trace.interface}</dd>
        <dt className="text-slate-400">Program</dt>
        <dd>
          {trace.program.name} <span className="text-slate-400">id {trace.program.id}, tag</span> <span className="font-mono">{trace.program.tag}</span>
          {trace.extended && <span className="block text-slate-300">Another program is asked after this one, and may drop yet what it passes.</span>}
        </dd>
      </dl>
    </div>
  );
}

/** Who said what, in the order of the questions. */
function Path({ steps }: { steps: readonly Step[] }) {
  return (
    <ol className="grid gap-1" data-testid="trace-path">
      {steps.map(({ part, id, says, observed }, at) => (
        // A limit may be asked twice: for packets and for bytes.
        <li key={at} data-testid={`trace-${part}`} data-value={id ?? ""} className="wrap-anywhere">
          {part} {id !== null && <span className="font-mono">{id}</span>}{" "}
          <span className={`font-medium ${verdictText(says)}`}>{says}</span>
          {observed && <span className="text-slate-400"> (observe mode)</span>}
        </li>
      ))}
    </ol>
  );
}
