import type { ReactNode } from "react";
import { Navigate, useLocation } from "react-router";
import { PAGES } from "../../shared/pages";
import { Button } from "../components/Button";
import { Alert, Spinner } from "../components/feedback";
import { useSession, useSessionState } from "./context";

/** Shows its children to who is signed in; others sign in first and come back to this address. */
export function RequireSession({ children }: { children: ReactNode }) {
  const session = useSession();
  const state = useSessionState();
  const location = useLocation();

  switch (state.status) {
    case "active":
      return children;
    case "starting":
      return (
        <main className="grid min-h-dvh place-items-center">
          <Spinner label="Restoring your session" />
        </main>
      );
    case "unreachable":
      return (
        <main className="mx-auto grid min-h-dvh max-w-md content-center gap-4 p-4">
          <h1 className="text-xl font-semibold">Your session is waiting</h1>
          <Alert>{state.reason}</Alert>
          <Button onClick={() => void session.resume()}>Try again</Button>
        </main>
      );
    case "anonymous":
      // Who signed out has left the page; the next person starts at the beginning.
      return <Navigate to={PAGES.login} replace state={state.why === "signed-out" ? null : { from: location }} />;
  }
}
