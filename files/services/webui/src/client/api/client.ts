import type { Session } from "../session/session";
import { nothing } from "./check";
import { dataplaneHistory, dataplaneStats, dataplaneStatus, type NewUser, trace, user, type UserChange, userPage } from "./types";

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
    trace: (ifname: string, frame: string) =>
      session.request("/dataplane/trace", trace, { method: "POST", body: { interface: ifname, frame } }),
  };
}

export type Api = ReturnType<typeof createApi>;
