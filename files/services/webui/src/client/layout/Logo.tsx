export function Logo({ compact = false }: { compact?: boolean }) {
  return (
    <span className="flex items-center gap-3">
      <svg viewBox="0 0 32 32" fill="none" stroke="currentColor" strokeWidth="3" strokeLinecap="round" className="size-8" aria-hidden="true">
        <circle cx="16" cy="8" r="4" />
        <path d="M14 12 6 28M16 12v16M18 12l8 16" />
      </svg>
      <span className={compact ? "sr-only" : "text-lg font-semibold tracking-tight"}>Tripod</span>
    </span>
  );
}
