import { createContext, useContext, useSyncExternalStore } from "react";
import type { Api } from "../api/client";
import type { Role, User } from "../api/types";
import type { Session, SessionState } from "./session";

export const SessionContext = createContext<{ session: Session; api: Api } | null>(null);

function useParts() {
  const parts = useContext(SessionContext);
  if (!parts) throw new Error("SessionContext has no provider");
  return parts;
}

export const useSession = (): Session => useParts().session;
export const useApi = (): Api => useParts().api;

export function useSessionState(): SessionState {
  const session = useSession();
  return useSyncExternalStore(session.subscribe, () => session.state);
}

/** The person signed in; only below RequireSession. */
export function useUser(): User {
  const state = useSessionState();
  if (state.status !== "active") throw new Error("no session");
  return state.user;
}

export const mayTrace = (role: Role): boolean => role !== "viewer";
export const mayManageUsers = (role: Role): boolean => role === "admin";
