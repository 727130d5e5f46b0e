import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { type ReactNode, Suspense, useMemo, useState } from "react";
import { Link, Route, Routes } from "react-router";
import { PAGES } from "../shared/pages";
import { createApi } from "./api/client";
import { ApiError } from "./api/http";
import { Page } from "./components/Page";
import { Spinner } from "./components/feedback";
import { RateRecorder } from "./dataplane/rates";
import { HostPicker } from "./layout/HostPicker";
import { lazyPage } from "./lazyPage";
import { Shell } from "./layout/Shell";
import { LoginPage } from "./pages/LoginPage";
import { mayManageUsers, mayTrace, SessionContext, useAccount, useSession, useSessionState, useUser } from "./session/context";
import { RequireSession } from "./session/RequireSession";
import { type Hosts, useHosts } from "./session/useHosts";

const DashboardPage = lazyPage(() => import("./pages/DashboardPage"));
const PolicyPage = lazyPage(() => import("./pages/PolicyPage"));
const TracerPage = lazyPage(() => import("./pages/TracerPage"));
const UsersPage = lazyPage(() => import("./pages/UsersPage"));
const ProfilePage = lazyPage(() => import("./pages/ProfilePage"));

const ACCOUNT_EVERY = 15_000;

export function App() {
  const state = useSessionState();
  return (
    <Routes>
      <Route path={PAGES.login} element={<LoginPage />} />
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

/** All that needs a session, about one host at a time. */
function Signed() {
  const session = useSession();
  const hosts = useHosts();
  const api = useMemo(() => createApi(session, hosts.host), [session, hosts.host]);
  return (
    <SessionContext value={{ session, api }}>
      <Pages key={hosts.host} hosts={hosts} />
    </SessionContext>
  );
}

/** The pages, with a cache and a recorder that end with them. */
function Pages({ hosts }: { hosts: Hosts }) {
  const [client] = useState(
    () =>
      new QueryClient({
        defaultOptions: {
          // A refusal stays one; only what was not answered is worth another try.
          queries: { retry: (count, error) => count < 2 && error instanceof ApiError && error.lost },
        },
      }),
  );
  const [recorder] = useState(() => new RateRecorder());

  const page = (element: ReactNode) => <Suspense fallback={<Spinner label="Loading" />}>{element}</Suspense>;
  return (
    <QueryClientProvider client={client}>
      <Account />
      <Routes>
        <Route element={<Shell top={<HostPicker {...hosts} />} />}>
          <Route index element={page(<DashboardPage recorder={recorder} />)} />
          <Route path={PAGES.policy} element={page(<PolicyPage />)} />
          <Route path={PAGES.tracer} element={page(<Only when={mayTrace}><TracerPage /></Only>)} />
          <Route path={PAGES.users} element={page(<Only when={mayManageUsers}><UsersPage /></Only>)} />
          <Route path={PAGES.profile} element={page(<ProfilePage />)} />
          <Route path="*" element={<NotFound />} />
        </Route>
      </Routes>
    </QueryClientProvider>
  );
}

/** Keeps what is known of the account as new as the API has it: a role that was taken away takes its pages along. */
function Account() {
  useAccount(ACCOUNT_EVERY);
  return null;
}

/** Spares who may not the page; it is the API that keeps them out. */
function Only({ when, children }: { when: (role: string) => boolean; children: ReactNode }) {
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
      <Link to={PAGES.dashboard} className="text-sky-400 underline underline-offset-4 hover:text-sky-300">
        Go to the dashboard
      </Link>
    </p>
  );
}
