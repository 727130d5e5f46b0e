import { useEffect, useState } from "react";
import { useApi, useUser } from "./context";

/** The hosts of the data plane, and the one that the pages are about, remembered for each person. */
export interface Hosts {
  /** By name, where there are several. */
  names: string[];
  /** Empty where there is one only. */
  host: string;
  choose: (host: string) => void;
}

export function useHosts(): Hosts {
  const api = useApi();
  const key = `tripod.host.${useUser().id}`;
  const [names, setNames] = useState<string[]>();
  const [chosen, setChosen] = useState(() => read(key));

  useEffect(() => {
    let over = false;
    void api.hosts().then(
      (found) => {
        if (!over) setNames(found.map(({ host }) => host));
      },
      // What is chosen stays; the pages say what is wrong.
      () => undefined,
    );
    return () => {
      over = true;
    };
  }, [api]);

  return {
    names: names && names.length > 1 ? names : [],
    host: hostOf(names, chosen),
    choose: (host) => {
      setChosen(host);
      try {
        localStorage.setItem(key, host);
      } catch {
        // It is for as long as the page, then.
      }
    },
  };
}

/** Until it is known which there are it is the one chosen last, so that nothing begins twice. */
function hostOf(names: string[] | undefined, chosen: string): string {
  if (!names) return chosen;
  if (names.length < 2) return "";
  return names.includes(chosen) ? chosen : (names[0] ?? "");
}

function read(key: string): string {
  try {
    return localStorage.getItem(key) ?? "";
  } catch {
    return "";
  }
}
