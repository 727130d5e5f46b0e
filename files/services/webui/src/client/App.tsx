import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { lazy, type ReactNode, Suspense, useState } from "react";
import { Link, Route, Routes } from "react-router";
import { ApiError } from "./api/http";
import type { Role } from "./api/types";
import { Page } from "./components/Page";
import { Spinner } from "./components/feedback";
import { RateRecorder } from "./dataplane/rates";
import { Shell } from "./layout/Shell";
import { LoginPage } from "./pages/LoginPage";
import { mayManageUsers, mayTrace, useSessionState, useUser } from "./session/context";
import { RequireSession } from "./session/RequireSession";

const DashboardPage = lazy(() => import("./pages/DashboardPage"));
const TracerPage = lazy(() => import("./pages/TracerPage"));
const UsersPage = lazy(() => import("./pages/UsersPage"));
const ProfilePage = lazy(() => import("./pages/ProfilePage"));

export function App() {
  const state = useSessionState();
  return (
    <Routes>
      <Route path="/login" element={<LoginPage />} />
      <Route
        path="*"
        element={
          <RequireSession>
            {/* What one person has seen must not greet the next one. */}
            <Signed key={state.status === "active" ? state.user.id : 0} />
          </RequireSession>
        }
      />
    </Routes>
  );
}

/** All that needs a session, with a cache and a recorder that end with it. */
function Signed() {
  const [client] = useState(
    () =>
      new QueryClient({
        defaultOptions: {
          // A refusal stays one; only what was not answered is worth another try.
          queries: { retry: (count, error) => count < 2 && error instanceof ApiError && (error.status === 0 || error.status >= 502) },
        },
      }),
  );
  const [recorder] = useState(() => new RateRecorder());

  const page = (element: ReactNode) => <Suspense fallback={<Spinner label="Loading" />}>{element}</Suspense>;
  return (
    <QueryClientProvider client={client}>
      <Routes>
        <Route element={<Shell />}>
          <Route index element={page(<DashboardPage recorder={recorder} />)} />
          <Route path="tracer" element={page(<Only when={mayTrace}><TracerPage /></Only>)} />
          <Route path="users" element={page(<Only when={mayManageUsers}><UsersPage /></Only>)} />
          <Route path="profile" element={page(<ProfilePage />)} />
          <Route path="*" element={<NotFound />} />
        </Route>
      </Routes>
    </QueryClientProvider>
  );
}

/** Spares who may not the page; it is the API that keeps them out. */
function Only({ when, children }: { when: (role: Role) => boolean; children: ReactNode }) {
  const user = useUser();
  if (when(user.role)) return children;
  return (
    <Page title="Not for your role" lead={`You are signed in as ${user.role}; this page needs another role.`}>
      <Home />
    </Page>
  );
}

function NotFound() {
  return (
    <Page title="Page not found" lead="There is nothing at this address.">
      <Home />
    </Page>
  );
}

function Home() {
  return (
    <p>
      <Link to="/" className="text-sky-400 underline underline-offset-4 hover:text-sky-300">
        Go to the dashboard
      </Link>
    </p>
  );
}
