import type { ReactNode } from "react";
import { usePageHeading } from "./usePageHeading";

/** A page's heading and content; names the browser's tab, too. */
export function Page({ title, lead, aside, children }: { title: string; lead: string; aside?: ReactNode; children: ReactNode }) {
  const heading = usePageHeading(title);
  return (
    <div className="mx-auto grid w-full max-w-[1400px] gap-6">
      <header className="flex flex-wrap items-end justify-between gap-4">
        <div>
          <h1 ref={heading} tabIndex={-1} className="text-2xl font-semibold tracking-tight outline-none">{title}</h1>
          <p className="mt-1 text-sm text-slate-300">{lead}</p>
        </div>
        {aside}
      </header>
      {children}
    </div>
  );
}
