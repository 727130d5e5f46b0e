import { keepPreviousData, useQuery } from "@tanstack/react-query";
import type { PolicyState } from "../api/types";
import { useApi } from "../session/context";

/** What a policy says, which changes with its revision; while another one is read, the last one stays. */
export function usePolicy({ name, revision }: PolicyState) {
  const api = useApi();
  return useQuery({ queryKey: ["policy", name, revision], queryFn: () => api.policy(name), placeholderData: keepPreviousData });
}

/** The last changes of a policy, the newest first. */
export function useHistory({ name, revision, pending }: PolicyState) {
  const api = useApi();
  return useQuery({
    queryKey: ["history", name, revision, pending?.revision ?? 0],
    queryFn: () => api.policyHistory(name),
    placeholderData: keepPreviousData,
  });
}
