import type { Session } from "../session/session";
import type { DataplaneStats, DataplaneStatus, NewUser, Trace, User, UserChange, UserPage } from "./types";

/** Every call the pages make, in one place. */
export function createApi(session: Session) {
  return {
    me: () => session.request<User>("/auth/me"),
    users: (page: number, perPage: number) => session.request<UserPage>(`/users?page=${page}&per_page=${perPage}`),
    createUser: (user: NewUser) => session.request<User>("/users", "POST", user),
    changeUser: (id: number, change: UserChange) => session.request<User>(`/users/${id}`, "PUT", change),
    deleteUser: (id: number) => session.request<undefined>(`/users/${id}`, "DELETE"),
    dataplaneStatus: () => session.request<DataplaneStatus>("/dataplane/status"),
    dataplaneStats: () => session.request<DataplaneStats>("/dataplane/stats"),
    trace: (ifname: string, frame: string) =>
      session.request<Trace>("/dataplane/trace", "POST", { interface: ifname, frame }),
  };
}

export type Api = ReturnType<typeof createApi>;
