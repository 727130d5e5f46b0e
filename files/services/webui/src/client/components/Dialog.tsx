import { X } from "lucide-react";
import { type ReactNode, useId, useLayoutEffect, useRef } from "react";

interface Props {
  title: string;
  onClose: () => void;
  children: ReactNode;
}

/**
 * A modal dialog while it is mounted. The browser's own: it keeps focus inside, makes the rest inert,
 * closes on Escape and gives focus back to where it was.
 */
export function Dialog({ title, onClose, children }: Props) {
  const id = useId();
  const dialog = useRef<HTMLDialogElement>(null);
  // In the layout phase: only a dialog that is closed before it leaves the document gives focus back.
  useLayoutEffect(() => {
    const element = dialog.current;
    element?.showModal();
    return () => element?.close();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      className="m-auto w-[min(32rem,calc(100vw-2rem))] rounded-lg border border-slate-600 bg-slate-800 p-5 text-gold-400 shadow-2xl"
    >
      <h2 id={id} className="mb-4 truncate pr-10 text-lg font-semibold">
        {title}
      </h2>
      {children}
      {/* Last, as the browser focuses the first control, and that should be the form's. */}
      <button
        type="button"
        aria-label="Close"
        onClick={onClose}
        className="absolute top-3 right-3 grid size-11 place-items-center rounded-lg text-slate-300 hover:bg-slate-700 hover:text-white"
      >
        <X aria-hidden className="size-5" />
      </button>
    </dialog>
  );
}
