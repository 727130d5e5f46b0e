import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { explain } from "../api/http";
import type { PolicyState } from "../api/types";
import { Card } from "../components/Card";
import { Select } from "../components/Field";
import { Alert, Spinner } from "../components/feedback";
import { Page } from "../components/Page";
import { Bans } from "../policy/Bans";
import { Editor } from "../policy/Editor";
import { History } from "../policy/History";
import { Parts } from "../policy/Parts";
import { PendingChange } from "../policy/PendingChange";
import { useApi, mayChangePolicy, useUser } from "../session/context";

const EVERY = 5_000;

export default function PolicyPage() {
  const api = useApi();
  const list = useQuery({ queryKey: ["policies"], queryFn: api.policies, refetchInterval: EVERY });
  const [chosen, setChosen] = useState<string | null>(null);
  const found = list.data?.policies ?? [];
  const state = found.find(({ name }) => name === chosen) ?? found[0];
  const mayChange = mayChangePolicy(useUser().role);

  return (
    <Page
      title="Policy"
      lead="What this host filters by, what each part of it has met, and who is banned."
      aside={
        found.length > 1 && (
          <Select label="Policy" value={state?.name ?? ""} options={found.map(({ name }) => [name, name] as const)} onSelect={setChosen} className="w-48" />
        )
      }
    >
      {list.isPending && <Spinner label="Asking for policies" />}
      {list.isError && <Alert>{explain(list.error)}</Alert>}
      {list.isSuccess && !state && <p className="text-sm text-slate-300">This host has no policy.</p>}
      {state && <OnePolicy key={state.name} state={state} seen={list.dataUpdatedAt} mayChange={mayChange} />}
      {list.data && <Bans mayChange={mayChange} />}
    </Page>
  );
}

function OnePolicy({ state, seen, mayChange }: { state: PolicyState; seen: number; mayChange: boolean }) {
  return (
    <>
      {state.pending && <PendingChange policy={state.name} pending={state.pending} seen={seen} mayChange={mayChange} />}
      <Card
        title={state.name}
        aside={
          <span className="text-sm text-slate-400" data-testid="policy-revision" data-value={state.revision}>
            revision {state.revision}, judges {state.interfaces.join(", ") || "no interface"}
          </span>
        }
      >
        <Parts policy={state} />
      </Card>
      {mayChange && <Editor policy={state} />}
      <Card title="Changes">
        <History policy={state} mayChange={mayChange} />
      </Card>
    </>
  );
}
