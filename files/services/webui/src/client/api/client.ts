import type { Session } from "../session/session";
import { nothing } from "./check";
import { ApiError } from "./http";
import {
  ban,
  banPage,
  dataplaneHistory,
  dataplaneParts,
  dataplaneStats,
  dataplaneStatus,
  hosts,
  type NewBan,
  type NewPolicy,
  type NewUser,
  policies,
  policy,
  policyChange,
  policyConfirmation,
  policyHistory,
  trace,
  type User,
  user,
  type UserChange,
  userPage,
} from "./types";

/** More than the connections that a browser keeps to a server, all tabs together. */
const CONNECTIONS = 10;

/**
 * Asks again for as long as the API finds the connection too old; each answer of that kind ends the one that it came by, so that
 * at last the browser has to make a new one.
 */
async function overNewConnection<T>(ask: () => Promise<T>, tries = CONNECTIONS): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (tries === 1 || !(error instanceof ApiError && error.code === "old_connection")) throw error;
    return overNewConnection(ask, tries - 1);
  }
}

const policyPath = (name: string) => `/policies/${encodeURIComponent(name)}`;

/**
 * Every call the pages make, in one place.
 *
 * @param host Of the data plane, whose everything is about; empty where there is one only.
 */
export function createApi(session: Session, host = "") {
  const on = (path: string) => (host ? `${path}${path.includes("?") ? "&" : "?"}host=${encodeURIComponent(host)}` : path);
  return {
    host,
    hosts: async () => (await session.request("/hosts", hosts)).hosts,
    me: () => session.reread(),
    changePassword: (current: string, wanted: string) =>
      session.request("/auth/me/password", nothing, { method: "PUT", body: { current_password: current, new_password: wanted } }),
    users: (page: number, perPage: number) => session.request(`/users?page=${page}&per_page=${perPage}`, userPage),
    createUser: (body: NewUser) => session.request("/users", user, { method: "POST", body }),
    changeUser: ({ id, etag }: User, body: UserChange) => session.request(`/users/${id}`, user, { method: "PUT", body, ifMatch: etag }),
    deleteUser: ({ id, etag }: User) => session.request(`/users/${id}`, nothing, { method: "DELETE", ifMatch: etag }),
    dataplaneStatus: () => session.request(on("/dataplane/status"), dataplaneStatus),
    dataplaneStats: () => session.request(on("/dataplane/stats"), dataplaneStats),
    dataplaneHistory: (resolution: string) => session.request(on(`/dataplane/history?resolution=${resolution}`), dataplaneHistory),
    events: (last: string, signal: AbortSignal) => session.events(on("/events?begin=oldest"), last, signal),
    dataplaneParts: () => session.request(on("/dataplane/parts"), dataplaneParts),
    policies: () => session.request(on("/policies"), policies),
    policy: (name: string) => session.request(on(policyPath(name)), policy),
    policyHistory: async (name: string) => (await session.request(on(`${policyPath(name)}/history`), policyHistory)).revisions,
    previewPolicy: (name: string, body: NewPolicy) => session.request(on(`${policyPath(name)}/preview`), policyChange, { method: "POST", body }),
    putPolicy: (name: string, body: NewPolicy, etag: string) =>
      session.request(on(policyPath(name)), policyChange, { method: "PUT", body, ifMatch: etag }),
    confirmPolicy: (name: string, revision: number) =>
      overNewConnection(() => session.request(on(`${policyPath(name)}/confirm`), policyConfirmation, { method: "POST", body: { revision } })),
    revertPolicy: (name: string, revision: number | null, seconds: number) =>
      session.request(on(`${policyPath(name)}/revert`), policyChange, { method: "POST", body: { revision, confirm_seconds: seconds } }),
    bans: () => session.request(on("/bans"), banPage),
    ban: (body: NewBan) => session.request(on("/bans"), ban, { method: "POST", body }),
    unban: (address: string) => session.request(on(`/bans/${encodeURIComponent(address)}`), nothing, { method: "DELETE" }),
    trace: (ifname: string, frame: string) =>
      session.request(on("/dataplane/trace"), trace, { method: "POST", body: { interface: ifname, frame } }),
  };
}

export type Api = ReturnType<typeof createApi>;
