import { isVerdict, type Role, type Verdict } from "../api/types";

const SHAPE = "inline-flex items-center rounded-full border px-2.5 py-0.5 text-xs font-medium";

const PLAIN = "border-slate-400/50 bg-slate-400/15 text-slate-200";

const ROLE: Record<Role, string> = {
  admin: "border-admin/50 bg-admin/15 text-yellow-300",
  maintainer: "border-sky-400/50 bg-sky-400/15 text-sky-300",
  viewer: PLAIN,
};

export function RoleBadge({ role }: { role: string }) {
  return <span className={`${SHAPE} ${(ROLE as Record<string, string>)[role] ?? PLAIN}`}>{role}</span>;
}

const STATE = {
  good: "border-emerald-400/50 bg-emerald-400/15 text-emerald-300",
  bad: "border-red-400/50 bg-red-400/15 text-red-300",
  unknown: PLAIN,
};

export function StateBadge({ state, children }: { state: keyof typeof STATE; children: string }) {
  return <span className={`${SHAPE} ${STATE[state]}`}>{children}</span>;
}

/** Written out, as Tailwind finds class names by reading the source. */
const VERDICT_TEXT: Record<Verdict, string> = {
  pass: "text-verdict-pass",
  drop: "text-verdict-drop",
  tx: "text-verdict-tx",
  redirect: "text-verdict-redirect",
  aborted: "text-verdict-aborted",
};

/** The colour of a verdict's text; plain for one that this release does not know. */
export const verdictText = (verdict: string): string => (isVerdict(verdict) ? VERDICT_TEXT[verdict] : "text-slate-200");
