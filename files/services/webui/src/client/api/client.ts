import type { Session } from "../session/session";
import { nothing } from "./check";
import {
  ban,
  banPage,
  dataplaneHistory,
  dataplaneParts,
  dataplaneStats,
  dataplaneStatus,
  type NewBan,
  type NewUser,
  policies,
  policy,
  policyChange,
  policyConfirmation,
  policyHistory,
  trace,
  user,
  type UserChange,
  userPage,
} from "./types";

const policyPath = (name: string) => `/policies/${encodeURIComponent(name)}`;

/** Every call the pages make, in one place. */
export function createApi(session: Session) {
  return {
    me: () => session.reread(),
    changePassword: (current: string, wanted: string) =>
      session.request("/auth/me/password", nothing, { method: "PUT", body: { current_password: current, new_password: wanted } }),
    users: (page: number, perPage: number) => session.request(`/users?page=${page}&per_page=${perPage}`, userPage),
    createUser: (body: NewUser) => session.request("/users", user, { method: "POST", body }),
    changeUser: (id: number, body: UserChange) => session.request(`/users/${id}`, user, { method: "PUT", body }),
    deleteUser: (id: number) => session.request(`/users/${id}`, nothing, { method: "DELETE" }),
    dataplaneStatus: () => session.request("/dataplane/status", dataplaneStatus),
    dataplaneStats: () => session.request("/dataplane/stats", dataplaneStats),
    dataplaneHistory: async () => (await session.request("/dataplane/history", dataplaneHistory)).readings,
    dataplaneParts: () => session.request("/dataplane/parts", dataplaneParts),
    policies: () => session.request("/policies", policies),
    policy: (name: string) => session.request(policyPath(name), policy),
    policyHistory: async (name: string) => (await session.request(`${policyPath(name)}/history`, policyHistory)).revisions,
    confirmPolicy: (name: string, revision: number) =>
      session.request(`${policyPath(name)}/confirm`, policyConfirmation, { method: "POST", body: { revision } }),
    revertPolicy: (name: string, revision: number | null, seconds: number) =>
      session.request(`${policyPath(name)}/revert`, policyChange, { method: "POST", body: { revision, confirm_seconds: seconds } }),
    bans: () => session.request("/bans", banPage),
    ban: (body: NewBan) => session.request("/bans", ban, { method: "POST", body }),
    unban: (address: string) => session.request(`/bans/${encodeURIComponent(address)}`, nothing, { method: "DELETE" }),
    trace: (ifname: string, frame: string) =>
      session.request("/dataplane/trace", trace, { method: "POST", body: { interface: ifname, frame } }),
  };
}

export type Api = ReturnType<typeof createApi>;
