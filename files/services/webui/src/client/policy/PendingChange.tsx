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

/** A change that is in force and will be taken back, with the buttons for those who may decide. */
export function PendingChange({ policy, pending, mayChange }: { policy: string; pending: Pending; mayChange: boolean }) {
  const api = useApi();
  const left = useSecondsUntil(pending.deadline);
  const confirm = useSave(() => api.confirmPolicy(policy, pending.revision), SEEN_IN);
  const revert = useSave(() => api.revertPolicy(policy, null, 0), SEEN_IN);
  const failure = confirm.error ?? revert.error;
  return (
    <Card title="Waits for confirmation">
      <div className="grid gap-3 text-sm text-slate-200" data-testid="policy-pending" data-value={pending.revision}>
        <p>
          Revision {pending.revision}{pending.by && ` by ${pending.by}`} is in force until {formatClock(Date.parse(pending.deadline))}
          {left > 0 ? ` (${left} s)` : ""}, and is taken back then unless it is confirmed.
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

function useSecondsUntil(time: string): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, []);
  return Math.max(0, Math.ceil((Date.parse(time) - now) / 1_000));
}
