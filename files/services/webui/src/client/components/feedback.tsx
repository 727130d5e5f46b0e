import { CircleAlert, Info, LoaderCircle } from "lucide-react";
import type { ReactNode } from "react";

/** Something went wrong; announced at once. */
export function Alert({ children }: { children: ReactNode }) {
  return (
    <div
      role="alert"
      className="flex items-start gap-3 rounded-lg border border-red-500/50 bg-red-950/60 px-4 py-3 text-sm text-red-200"
    >
      <CircleAlert aria-hidden className="mt-0.5 size-4 shrink-0" />
      {/* A refusal has each of its reasons on a line of its own. */}
      <div className="min-w-0 whitespace-pre-line">{children}</div>
    </div>
  );
}

/** Something worth knowing; announced when the reader pauses. */
export function Notice({ children }: { children: ReactNode }) {
  return (
    <div
      role="status"
      className="flex items-start gap-3 rounded-lg border border-sky-500/40 bg-sky-950/40 px-4 py-3 text-sm text-slate-200"
    >
      <Info aria-hidden className="mt-0.5 size-4 shrink-0 text-sky-400" />
      <div>{children}</div>
    </div>
  );
}

export function Spinner({ label }: { label: string }) {
  return (
    <div role="status" className="flex items-center gap-3 text-sm text-slate-300">
      <LoaderCircle aria-hidden className="size-5 animate-spin text-sky-400" />
      {label}…
    </div>
  );
}
