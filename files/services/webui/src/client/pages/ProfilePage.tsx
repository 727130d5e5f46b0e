import { useMutation } from "@tanstack/react-query";
import { LogOut } from "lucide-react";
import type { SubmitEvent } from "react";
import { explain } from "../api/http";
import { RoleBadge } from "../components/Badge";
import { Button } from "../components/Button";
import { Card } from "../components/Card";
import { Field, PASSWORD_LENGTH } from "../components/Field";
import { textOf, useOnce } from "../components/form";
import { Alert, Notice, Spinner } from "../components/feedback";
import { Page } from "../components/Page";
import { formatDay } from "../dataplane/format";
import { useAccount, useApi, useSession } from "../session/context";

export default function ProfilePage() {
  const session = useSession();
  const { data: user, error, isPending } = useAccount();
  return (
    <Page title="Profile" lead="The account you are signed in with.">
      {isPending && <Spinner label="Loading your account" />}
      {error && <Alert>{explain(error)}</Alert>}
      {user && (
        <Card title={user.full_name} aside={<RoleBadge role={user.role} />} className="w-full max-w-xl">
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
      {user && <Password email={user.email} />}
    </Page>
  );
}

function Password({ email }: { email: string }) {
  const api = useApi();
  const once = useOnce();
  const save = useMutation({
    mutationFn: ({ current, wanted }: { current: string; wanted: string }) => api.changePassword(current, wanted),
  });

  function submit(event: SubmitEvent<HTMLFormElement>): void {
    event.preventDefault();
    const form = event.currentTarget;
    const given = new FormData(form);
    once(async () => {
      await save.mutateAsync({ current: textOf(given, "current"), wanted: textOf(given, "wanted") });
      form.reset();
    });
  }

  return (
    <Card title="Password" className="w-full max-w-xl">
      <form onSubmit={submit} className="grid gap-4">
        {save.isError && <Alert>{explain(save.error)}</Alert>}
        {save.isSuccess && <Notice>Your password is changed; your other sessions and your API tokens have ended.</Notice>}
        {/* For password managers, which would otherwise not know whose it is. */}
        <input type="text" name="username" autoComplete="username" value={email} readOnly hidden />
        <Field label="Current password" name="current" type="password" autoComplete="current-password" required />
        <Field label="New password" name="wanted" type="password" autoComplete="new-password" minLength={PASSWORD_LENGTH} hint={`At least ${PASSWORD_LENGTH} characters, and not soon guessed. Ends your other sessions and your API tokens.`} required />
        <Button type="submit" busy={save.isPending} className="justify-self-start">Change password</Button>
      </form>
    </Card>
  );
}
