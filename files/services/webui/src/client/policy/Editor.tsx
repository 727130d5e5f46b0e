import { type RefObject, useRef, useState } from "react";
import { explain } from "../api/http";
import type { Policy, PolicyState, Revision } from "../api/types";
import { useSave } from "../api/useSave";
import { Button } from "../components/Button";
import { Card } from "../components/Card";
import { TextArea } from "../components/Field";
import { Alert, Notice, Spinner } from "../components/feedback";
import { useApi } from "../session/context";
import { Apply, type Tried } from "./Apply";
import { Difference } from "./Difference";
import { canonical, isFault, lineOf, read, written } from "./document";
import { Preview } from "./Preview";
import { useHistory, usePolicy } from "./queries";
import { useDraft } from "./useDraft";

/** Where the API's part of a policy is written, tried and put in force. */
export function Editor({ policy }: { policy: PolicyState }) {
  const said = usePolicy(policy);
  const history = useHistory(policy);
  return (
    <Card title="Draft">
      {said.isPending && <Spinner label="Reading the policy" />}
      {said.isError && <Alert>{explain(said.error)}</Alert>}
      {said.data && <Draft policy={policy} said={said.data} revisions={history.data} />}
    </Card>
  );
}

interface Props {
  policy: PolicyState;
  said: Policy;
  revisions: readonly Revision[] | undefined;
}

function Draft({ policy, said, revisions }: Props) {
  const api = useApi();
  const draft = useDraft(policy, said.own, revisions);
  const area = useRef<HTMLTextAreaElement>(null);
  // The text that somebody else was faster than, for as long as it is not tried again.
  const [late, setLate] = useState<string | null>(null);
  const found = read(draft.text);
  // Whoever made the same of it meanwhile is in nobody's way.
  const overtaken = draft.overtaken && (isFault(found) || canonical(found.value) !== canonical(said.own));
  const preview = useSave(({ document, expected }: Tried) => api.previewPolicy(policy.name, { document, expected }), []);
  // What was said of another text, or of another policy, is of no use any more.
  const tried = preview.variables?.text === draft.text && preview.variables.expected === said.revision;

  return (
    <div className="grid gap-4">
      <p className="text-sm text-slate-300">
        All that this interface requests of the policy, as JSON: lists, rules, limits and services. What is left out is taken away; what the inventory
        and feeds request stays. {draft.begun ? "The draft is kept in this browser, also over a reload." : "It is in force as it stands here."}
      </p>
      {draft.fleeting && <Notice>This browser keeps nothing: a reload of the page loses the draft.</Notice>}
      {draft.fate === "taken back" && <Notice>This draft was in force and was taken back, as nobody confirmed it in time or somebody reverted it. Nothing of it is lost.</Notice>}
      {late === draft.text && (
        <Alert>
          While you looked at the preview, somebody else put another revision of this policy in force. The draft is not in force, and nothing of it is
          lost: preview it again, and apply it if it still does what you want.
        </Alert>
      )}
      {overtaken && (
        <Overtaken
          latest={revisions?.find(({ revision }) => revision === said.revision)}
          own={written(said.own)}
          text={draft.text}
          onRebase={() => draft.rebase(draft.text)}
          onDiscard={draft.discard}
        />
      )}
      <TextArea
        ref={area}
        label="Document"
        rows={16}
        wrap="off"
        spellCheck={false}
        autoComplete="off"
        readOnly={draft.fate === "waiting"}
        value={draft.text}
        onChange={(event) => draft.edit(event.target.value)}
        fault={isFault(found) ? `Line ${found.line}, column ${found.column}: ${found.message}.` : undefined}
      />
      {preview.isError && tried && <Faults error={preview.error} document={found} area={area} />}
      <div className="flex flex-wrap gap-2">
        <Button
          busy={preview.isPending}
          disabled={isFault(found) || draft.fate === "waiting"}
          onClick={() => {
            setLate(null);
            if (!isFault(found)) preview.mutate({ text: draft.text, document: found.value, expected: said.revision, etag: said.etag });
          }}
        >
          Preview
        </Button>
        {draft.begun && draft.fate !== "waiting" && !overtaken && <Button look="ghost" onClick={draft.discard}>Discard the draft</Button>}
      </div>
      {preview.isSuccess && tried && <Preview change={preview.data} before={written(said.own)} after={draft.text} />}
      {preview.isSuccess && tried && preview.data.changed && !overtaken && (
        <Apply
          policy={policy}
          tried={preview.variables}
          onApplied={(revision) => draft.apply(draft.text, revision)}
          onOvertaken={() => setLate(draft.text)}
        />
      )}
    </div>
  );
}

interface OvertakenProps {
  latest: Revision | undefined;
  own: string;
  text: string;
  onRebase: () => void;
  onDiscard: () => void;
}

/** Somebody else was faster: what they made of it, and the two ways on. */
function Overtaken({ latest, own, text, onRebase, onDiscard }: OvertakenProps) {
  return (
    <div className="grid gap-3" data-testid="policy-overtaken">
      <Notice>
        Since this draft was begun somebody else has changed what it changes
        {latest && `: revision ${latest.revision} by ${latest.by ?? latest.owner}${latest.why && `, ${latest.why}`}`}. Nothing of the draft is lost. To
        put it in force as it is takes back what they did.
      </Notice>
      <Difference label="What is in force, and the draft" before={own} after={text} />
      <div className="flex flex-wrap gap-2">
        <Button look="secondary" onClick={onRebase}>Go on with the draft</Button>
        <Button look="ghost" onClick={onDiscard}>Discard the draft</Button>
      </div>
    </div>
  );
}

interface FaultsProps {
  error: unknown;
  document: ReturnType<typeof read>;
  area: RefObject<HTMLTextAreaElement | null>;
}

/** Each reason of a refusal, with the way to the line that it is about. */
function Faults({ error, document, area }: FaultsProps) {
  const reasons = explain(error).split("\n");
  return (
    <Alert>
      <ul className="grid gap-1">
        {reasons.map((reason, at) => (
          <li key={at}>
            {reason} <LineButton line={isFault(document) ? null : lineOf(reason, document)} area={area} />
          </li>
        ))}
      </ul>
    </Alert>
  );
}

function LineButton({ line, area }: { line: number | null; area: FaultsProps["area"] }) {
  if (line === null) return null;
  return (
    <button type="button" className="rounded-sm px-1 font-medium text-sky-300 underline" onClick={() => area.current && select(area.current, line)}>
      Line {line}
    </button>
  );
}

function select(area: HTMLTextAreaElement, line: number): void {
  const lines = area.value.split("\n");
  const start = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  area.focus();
  area.setSelectionRange(start, start + (lines[line - 1]?.length ?? 0));
  area.scrollTop = (area.scrollHeight / lines.length) * Math.max(0, line - 4);
}
