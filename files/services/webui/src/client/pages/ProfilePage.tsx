import { useQuery } from "@tanstack/react-query";
import { LogOut } from "lucide-react";
import { explain } from "../api/http";
import { RoleBadge } from "../components/Badge";
import { Button } from "../components/Button";
import { Card } from "../components/Card";
import { Alert, Spinner } from "../components/feedback";
import { Page } from "../components/Page";
import { formatDay } from "../dataplane/format";
import { useApi, useSession } from "../session/context";

export default function ProfilePage() {
  const api = useApi();
  const session = useSession();
  const { data: user, error, isPending } = useQuery({ queryKey: ["me"], queryFn: api.me });
  return (
    <Page title="Profile" lead="The account you are signed in with.">
      {isPending && <Spinner label="Loading your account" />}
      {error && <Alert>{explain(error)}</Alert>}
      {user && (
        <Card title={user.full_name} aside={<RoleBadge role={user.role} />} className="max-w-xl">
          <dl className="mb-6 grid grid-cols-[auto_1fr] gap-x-6 gap-y-2 text-sm">
            <dt className="text-slate-400">E-mail address</dt>
            <dd className="break-all text-slate-200">{user.email}</dd>
            <dt className="text-slate-400">Member since</dt>
            <dd className="text-slate-200">{formatDay(user.created_at)}</dd>
          </dl>
          <Button look="secondary" onClick={() => void session.logout()}>
            <LogOut aria-hidden className="size-5" />
            Sign out
          </Button>
        </Card>
      )}
    </Page>
  );
}
