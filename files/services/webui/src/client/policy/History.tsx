import { useState } from "react";
import { explain } from "../api/http";
import type { PolicyState, Revision } from "../api/types";
import { useSave } from "../api/useSave";
import { StateBadge } from "../components/Badge";
import { Button } from "../components/Button";
import { Dialog } from "../components/Dialog";
import { Alert, Spinner } from "../components/feedback";
import { formatMoment } from "../dataplane/format";
import { useApi } from "../session/context";
import { SEEN_IN } from "./parts";
import { useHistory } from "./queries";

/** How long a way back waits to be confirmed (seconds). */
const CONFIRM = 120;

/** The last changes of a policy, and the way back to each for those who may. */
export function History({ policy, mayChange }: { policy: PolicyState; mayChange: boolean }) {
  const history = useHistory(policy);
  const [open, setOpen] = useState<Revision | null>(null);

  if (history.isPending) return <Spinner label="Reading what changed" />;
  if (history.isError) return <Alert>{explain(history.error)}</Alert>;
  if (history.data.length === 0) return <p className="text-sm text-slate-300">Nothing has changed yet.</p>;
  return (
    <>
      <ul className="divide-y divide-slate-700 text-sm text-slate-200">
        {history.data.map((revision) => (
          <li key={revision.revision} data-testid={`revision-${revision.revision}`} className="flex flex-wrap items-start justify-between gap-3 py-3 first:pt-0 last:pb-0">
            <div className="min-w-0">
              <p>
                <span className="font-semibold">{revision.revision} {revision.name}</span> <Badge state={revision.state} />{" "}
                <span className="text-slate-300">
                  {formatMoment(revision.time)}, {revision.owner}
                  {revision.by && `, ${revision.by}`}
                </span>
              </p>
              {revision.why && <p className="mt-1 wrap-anywhere">{revision.why}</p>}
              <ul className="mt-1 wrap-anywhere text-slate-300">
                {revision.summary.map((line, at) => (
                  <li key={at}>{line}</li>
                ))}
              </ul>
            </div>
            {mayChange && revision.state === "superseded" && (
              <Button look="secondary" aria-label={`Go back to revision ${revision.revision}`} onClick={() => setOpen(revision)}>Go back to it</Button>
            )}
          </li>
        ))}
      </ul>
      {open && <RevertDialog policy={policy.name} revision={open} onClose={() => setOpen(null)} />}
    </>
  );
}

function Badge({ state }: { state: string }) {
  return <StateBadge state={state === "current" ? "good" : state === "reverted" ? "bad" : "unknown"}>{state}</StateBadge>;
}

function RevertDialog({ policy, revision, onClose }: { policy: string; revision: Revision; onClose: () => void }) {
  const api = useApi();
  const revert = useSave(() => api.revertPolicy(policy, revision.revision, CONFIRM), SEEN_IN, onClose);
  return (
    <Dialog title={`Go back to revision ${revision.revision}`} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          revert.mutate(undefined);
        }}
        className="grid gap-4"
      >
        {revert.isError && <Alert>{explain(revert.error)}</Alert>}
        <p className="text-sm text-slate-200">
          The part of the policy that belongs to this interface becomes what it was then; the parts of the inventory and of feeds stay. It is taken back
          after {CONFIRM} seconds unless somebody confirms it here.
        </p>
        <div className="mt-2 flex justify-end gap-2">
          <Button look="ghost" onClick={onClose}>Cancel</Button>
          <Button type="submit" busy={revert.isPending}>Go back</Button>
        </div>
      </form>
    </Dialog>
  );
}
