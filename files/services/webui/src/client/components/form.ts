import { useRef } from "react";

/** The text of a form's field; empty where there is none. */
export function textOf(form: FormData, name: string): string {
  const value = form.get(name);
  return typeof value === "string" ? value : "";
}

/**
 * Returns what starts work unless the last piece of it is still under way: the second press of a double-click comes before
 * a button is seen to be busy. What the work throws is shown by whoever holds its state.
 */
export function useOnce(): (work: () => Promise<unknown>) => void {
  const busy = useRef(false);
  return (work) => {
    if (busy.current) return;
    busy.current = true;
    void work()
      .catch(() => undefined)
      .finally(() => (busy.current = false));
  };
}
