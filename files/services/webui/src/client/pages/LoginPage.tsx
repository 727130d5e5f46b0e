import { type SubmitEvent, useState } from "react";
import { type Location, Navigate, useLocation } from "react-router";
import { PAGES } from "../../shared/pages";
import { explain } from "../api/http";
import { Button } from "../components/Button";
import { Field } from "../components/Field";
import { textOf, useOnce } from "../components/form";
import { Alert, Notice, Spinner } from "../components/feedback";
import { usePageHeading } from "../components/usePageHeading";
import { Logo } from "../layout/Logo";
import { useSession, useSessionState } from "../session/context";

export function LoginPage() {
  const session = useSession();
  const state = useSessionState();
  const location = useLocation();
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState<string | null>(null);

  const heading = usePageHeading("Sign in");
  const once = useOnce();

  if (state.status === "active" || state.status === "unreachable") {
    const from = (location.state as { from?: Location } | null)?.from;
    return <Navigate to={from ?? PAGES.dashboard} replace />;
  }

  function submit(event: SubmitEvent<HTMLFormElement>): void {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    once(() => signIn(form));
  }

  async function signIn(form: FormData): Promise<void> {
    setBusy(true);
    // Taken away first: the same sentence again would not be announced.
    setFault(null);
    try {
      await session.login(textOf(form, "email").trim(), textOf(form, "password"));
    } catch (error) {
      setFault(explain(error));
      setBusy(false);
    }
  }

  return (
    <main className="grid min-h-dvh place-items-center bg-slate-950 p-4">
      <div className="w-full max-w-sm">
        <div className="mb-6 flex justify-center">
          <Logo />
        </div>
        <div className="rounded-lg border border-slate-700 bg-slate-800 p-6 shadow-2xl sm:p-8">
          <h1 ref={heading} tabIndex={-1} className="mb-1 text-xl font-semibold outline-none">Sign in</h1>
          <p className="mb-6 text-sm text-slate-300">Watch and trace the data plane of this host.</p>
          {state.status === "starting" ? (
            <Spinner label="Restoring your session" />
          ) : (
            <form onSubmit={submit} className="grid gap-4">
              {state.why === "expired" && !fault && <Notice>Your session has ended. Sign in to go on where you were.</Notice>}
              {fault && <Alert>{fault}</Alert>}
              <Field label="E-mail address" name="email" type="text" inputMode="email" autoComplete="username" autoCapitalize="none" spellCheck={false} required />
              <Field label="Password" name="password" type="password" autoComplete="current-password" required />
              <Button type="submit" busy={busy} className="mt-2 w-full">
                {busy ? "Signing in…" : "Sign in"}
              </Button>
            </form>
          )}
        </div>
      </div>
    </main>
  );
}
