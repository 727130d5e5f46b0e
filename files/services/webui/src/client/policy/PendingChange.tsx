import { useEffect, useState } from "react";
import { explain } from "../api/http";
import type { Pending } from "../api/types";
import { useSave } from "../api/useSave";
import { Button } from "../components/Button";
import { Card } from "../components/Card";
import { Alert } from "../components/feedback";
import { formatClock } from "../dataplane/format";
import { useApi } from "../session/context";
import { SEEN_IN } from "./parts";

interface Props {
  policy: string;
  pending: Pending;
  /** When the API said so (ms, this browser's clock). */
  seen: number;
  mayChange: boolean;
}

/** A change that is in force and will be taken back, with the buttons for those who may decide. */
export function PendingChange({ policy, pending, seen, mayChange }: Props) {
  const api = useApi();
  const left = useSecondsUntil(seen + pending.seconds_left * 1_000);
  const confirm = useSave(() => api.confirmPolicy(policy, pending.revision), SEEN_IN);
  const revert = useSave(() => api.revertPolicy(policy, null, 0), SEEN_IN);
  const failure = confirm.error ?? revert.error;
  return (
    <Card title="Waits for confirmation" className="sticky top-2 z-10 border-sky-500 shadow-2xl">
      <div className="grid gap-3 text-sm text-slate-200" data-testid="policy-pending" data-value={pending.revision}>
        <p role="status">
          Revision {pending.revision}{pending.by && ` by ${pending.by}`} is in force until {formatClock(Date.parse(pending.deadline))}, and is taken back then
          unless somebody confirms that they still get here.
        </p>
        <p>
          <span role="timer" aria-label="Time left" className="text-2xl font-semibold tabular-nums text-gold-400">{left} s</span> left
        </p>
        {failure && <Alert>{explain(failure)}</Alert>}
        {mayChange && (
          <div className="flex flex-wrap gap-2">
            <Button busy={confirm.isPending} onClick={() => confirm.mutate(undefined)}>Confirm</Button>
            <Button look="secondary" busy={revert.isPending} onClick={() => revert.mutate(undefined)}>Take it back now</Button>
          </div>
        )}
      </div>
    </Card>
  );
}

/** @param time On this browser's clock (ms). */
function useSecondsUntil(time: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return Math.max(0, Math.ceil((time - now) / 1_000));
}
