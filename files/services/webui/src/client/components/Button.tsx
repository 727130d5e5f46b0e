import type { ButtonHTMLAttributes } from "react";
import { LoaderCircle } from "lucide-react";

const LOOKS = {
  primary: "bg-sky-700 text-white hover:bg-sky-800",
  secondary: "border border-slate-500 text-gold-400 hover:bg-slate-700",
  danger: "bg-red-700 text-white hover:bg-red-800",
  ghost: "text-slate-300 hover:bg-slate-700 hover:text-white",
};

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  look?: keyof typeof LOOKS;
  /** Work is under way: the button keeps its place and focus, and takes no second press. */
  busy?: boolean;
}

export function Button({ look = "primary", busy = false, className = "", children, onClick, ...rest }: Props) {
  return (
    <button
      type="button"
      {...rest}
      aria-disabled={busy || undefined}
      onClick={(event) => {
        if (busy) event.preventDefault();
        else onClick?.(event);
      }}
      className={`inline-flex min-h-11 items-center justify-center gap-2 rounded-lg px-4 text-sm font-medium transition-colors disabled:cursor-not-allowed disabled:opacity-50 ${LOOKS[look]} ${className}`}
    >
      {busy && <LoaderCircle aria-hidden className="size-4 animate-spin" />}
      {children}
    </button>
  );
}
