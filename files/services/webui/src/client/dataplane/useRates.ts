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
 * Follows the counters while they are looked at. What was read while nobody looked here, the server has kept; what cannot be had
 * is a gap.
 */
export function useRates(recorder: RateRecorder): Rates | undefined {
  const api = useApi();
  const [rates, setRates] = useState<Rates>();

  useEffect(() => {
    let reading: AbortController | null = null;
    let failure: ApiError | null = null;
    let came = Date.now();
    const show = () => setRates({ history: recorder.history, failure });
    const tell = (now: ApiError | null) => {
      failure = now;
      if (now === null) came = Date.now();
      else recorder.miss(Date.now());
      show();
    };
    const stop = () => {
      reading?.abort();
      reading = null;
    };
    // Over HTTP/1.1 a browser has six connections to a server, and a stream in each of many tabs would take them all.
    const look = () => {
      if (document.visibilityState === "hidden") {
        stop();
      } else if (!reading) {
        reading = new AbortController();
        came = Date.now();
        void follow(api.events, recorder, tell, reading.signal);
      }
    };
    const clock = setInterval(() => {
      if (!reading || Date.now() < came + LATE) return;
      recorder.miss(Date.now());
      show();
    }, SECOND);
    document.addEventListener("visibilitychange", look);
    look();
    return () => {
      document.removeEventListener("visibilitychange", look);
      stop();
      clearInterval(clock);
    };
  }, [api, recorder]);

  return rates;
}
