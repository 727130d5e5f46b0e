import { useEffect, useState } from "react";
import type { ApiError } from "../api/http";
import { useApi } from "../session/context";
import { follow } from "./live";
import type { History, RateRecorder } from "./rates";

const SECOND = 1_000;
/** After so long without a reading it is a gap (milliseconds). */
const LATE = 3_000;

export interface Rates {
  history: History;
  /** What keeps readings from coming; null where they come. */
  failure: ApiError | null;
}

/**
 * Follows the counters while it is shown. What was read while nobody looked here, the server has kept; what cannot be had is a
 * gap.
 */
export function useRates(recorder: RateRecorder): Rates | undefined {
  const api = useApi();
  const [rates, setRates] = useState<Rates>();

  useEffect(() => {
    const end = new AbortController();
    let failure: ApiError | null = null;
    let came = Date.now();
    const show = () => setRates({ history: recorder.history, failure });
    const tell = (now: ApiError | null) => {
      failure = now;
      if (now === null) came = Date.now();
      else recorder.miss(Date.now());
      show();
    };
    const clock = setInterval(() => {
      if (Date.now() < came + LATE) return;
      recorder.miss(Date.now());
      show();
    }, SECOND);
    void follow(api.events, recorder, tell, end.signal);
    return () => {
      end.abort();
      clearInterval(clock);
    };
  }, [api, recorder]);

  return rates;
}
