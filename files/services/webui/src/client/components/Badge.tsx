import type { Role, Verdict } from "../api/types";

const SHAPE = "inline-flex items-center rounded-full border px-2.5 py-0.5 text-xs font-medium";

const ROLE: Record<Role, string> = {
  admin: "border-admin/50 bg-admin/15 text-yellow-300",
  maintainer: "border-sky-400/50 bg-sky-400/15 text-sky-300",
  viewer: "border-slate-400/50 bg-slate-400/15 text-slate-200",
};

export function RoleBadge({ role }: { role: Role }) {
  return <span className={`${SHAPE} ${ROLE[role]}`}>{role}</span>;
}

export function StateBadge({ good, children }: { good: boolean; children: string }) {
  const colour = good
    ? "border-emerald-400/50 bg-emerald-400/15 text-emerald-300"
    : "border-red-400/50 bg-red-400/15 text-red-300";
  return <span className={`${SHAPE} ${colour}`}>{children}</span>;
}

/** Written out, as Tailwind finds class names by reading the source. */
export const VERDICT_TEXT: Record<Verdict, string> = {
  pass: "text-verdict-pass",
  drop: "text-verdict-drop",
  tx: "text-verdict-tx",
  redirect: "text-verdict-redirect",
  aborted: "text-verdict-aborted",
};
