import { type SubmitEvent } from "react";
import { explain, isOvertaken } from "../api/http";
import type { PolicyState } from "../api/types";
import { useSave } from "../api/useSave";
import { Button } from "../components/Button";
import { Field } from "../components/Field";
import { textOf } from "../components/form";
import { Alert, Notice } from "../components/feedback";
import { useApi } from "../session/context";
import { SEEN_IN } from "./parts";

/** How long a change may wait to be confirmed, as the host has it (seconds). */
const CONFIRM = { least: 5, most: 3_600, usual: 120 };

/** A text that was sent to be tried, as the change of a revision. */
export interface Tried {
  text: string;
  document: Record<string, unknown>;
  expected: number;
  etag: string;
}

interface Props {
  policy: PolicyState;
  tried: Tried;
  onApplied: (revision: number) => void;
  /** Another revision came into force since it was tried. */
  onOvertaken: () => void;
}

/** The form that puts what was tried in force, for as long as it takes to confirm it. */
export function Apply({ policy, tried, onApplied, onOvertaken }: Props) {
  const api = useApi();
  const apply = useSave(async ({ seconds, why }: { seconds: number; why: string }) => {
    const { document, expected, etag } = tried;
    try {
      const made = await api.putPolicy(policy.name, { document, expected, confirm_seconds: seconds, why }, etag);
      onApplied(made.revision);
    } catch (error) {
      if (isOvertaken(error)) onOvertaken();
      throw error;
    }
  }, SEEN_IN);

  function submit(event: SubmitEvent<HTMLFormElement>): void {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    apply.mutate({ seconds: Number(textOf(given, "seconds")), why: textOf(given, "why").trim() });
  }

  if (policy.pending) return <Notice>Revision {policy.pending.revision} waits for confirmation: confirm it or take it back first.</Notice>;
  return (
    <form onSubmit={submit} className="grid gap-4 border-t border-slate-700 pt-4">
      {apply.isError && !isOvertaken(apply.error) && <Alert>{explain(apply.error)}</Alert>}
      <div className="grid gap-4 sm:grid-cols-[1fr_12rem]">
        <Field label="Reason" name="why" autoComplete="off" maxLength={200} required hint="For whoever reads the changes." />
        <Field
          label="Seconds to confirm"
          name="seconds"
          type="number"
          min={CONFIRM.least}
          max={CONFIRM.most}
          step={1}
          defaultValue={CONFIRM.usual}
          required
          hint="Taken back after that."
        />
      </div>
      <Button type="submit" busy={apply.isPending} className="justify-self-start">Apply</Button>
    </form>
  );
}
