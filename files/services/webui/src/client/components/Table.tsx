import type { ReactNode } from "react";

import { Scroll } from "./Scroll";

/** A table that scrolls sideways where it is too wide: the cells of its head, and its rows. */
export function Table({ label, head, children }: { label: string; head: ReactNode; children: ReactNode }) {
  return (
    <Scroll label={label}>
      <table className="w-full text-left text-sm text-slate-200">
        <thead className="border-b border-slate-700 text-slate-400">
          <tr>{head}</tr>
        </thead>
        <tbody className="divide-y divide-slate-700">{children}</tbody>
      </table>
    </Scroll>
  );
}
