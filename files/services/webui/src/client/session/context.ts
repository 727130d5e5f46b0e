import { useQuery } from "@tanstack/react-query";
import { createContext, useContext, useSyncExternalStore } from "react";
import type { Api } from "../api/client";
import type { User } from "../api/types";
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

/** The account as the API has it, read again now and then where that is said (ms). */
export function useAccount(every: number | false = false) {
  const api = useApi();
  return useQuery({ queryKey: ["me"], queryFn: api.me, refetchInterval: every });
}

export const mayTrace = (role: string): boolean => role === "maintainer" || role === "admin";
export const mayChangePolicy = (role: string): boolean => role === "maintainer" || role === "admin";
export const mayManageUsers = (role: string): boolean => role === "admin";
