import { useQuery } from "@tanstack/react-query";
import { ApiError } from "../api/http";
import { useApi } from "../session/context";
import type { RateRecorder } from "./rates";

const SECOND = 1_000;

/**
 * Polls the counters; a failed poll is a result too, as the gap it leaves belongs to the history. What was read while
 * nobody looked here, the API has kept.
 */
export function useRates(recorder: RateRecorder) {
  const api = useApi();
  return useQuery({
    queryKey: ["rates"],
    queryFn: async () => {
      try {
        const stats = await api.dataplaneStats();
        const now = Date.now();
        // A history that cannot be had is a gap, and no failure of the figures of now.
        if (recorder.behind(now)) recorder.fill(await api.dataplaneHistory().catch(() => []), stats, now);
        return { history: recorder.add(stats, now), failure: null };
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        return { history: recorder.miss(Date.now()), failure: error };
      }
    },
    refetchInterval: SECOND,
    gcTime: 0,
    structuralSharing: false,
  });
}
