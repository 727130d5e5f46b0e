import { Menu, X } from "lucide-react";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Outlet, useLocation } from "react-router";
import { ErrorBoundary } from "../components/ErrorBoundary";
import { useUser } from "../session/context";
import { Logo } from "./Logo";
import { navigation } from "./navigation";
import { Sidebar } from "./Sidebar";
import { useSidebar } from "./useSidebar";

/** @param top Above each page. */
export function Shell({ top }: { top?: ReactNode }) {
  const user = useUser();
  const groups = navigation(user.role);
  const sidebar = useSidebar(user.id, groups);
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();

  return (
    <>
      <a
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
        className="sr-only z-50 rounded-lg bg-sky-700 px-4 py-3 text-sm font-medium text-white focus:not-sr-only focus:fixed focus:top-2 focus:left-2"
      >
        Skip to content
      </a>
      <Drawer>
        <Sidebar prefix="drawer" groups={groups} sidebar={sidebar} rail={false} foldable={false} />
      </Drawer>
      <div className="lg:flex">
        {/* As long as the page; what is in it stays in the window. */}
        <aside
          id="sidebar"
          className={`hidden shrink-0 border-r border-slate-700 bg-slate-800 transition-[width] duration-300 lg:block ${sidebar.rail ? "w-16" : "w-64"}`}
        >
          <div className="sticky top-0 h-dvh">
            <Sidebar prefix="side" groups={groups} sidebar={sidebar} rail={sidebar.rail} foldable />
          </div>
        </aside>
        <main id="main" ref={main} tabIndex={-1} className="min-h-dvh min-w-0 flex-1 bg-slate-900 p-4 outline-none sm:p-6 lg:p-8">
          {top}
          <ErrorBoundary key={pathname}>
            <Outlet />
          </ErrorBoundary>
        </main>
      </div>
    </>
  );
}

/** The menu below 1024 px: a top bar, and the sidebar as a modal dialog. */
function Drawer({ children }: { children: React.ReactNode }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [open, setOpen] = useState(false);
  const { pathname } = useLocation();

  useEffect(() => dialog.current?.close(), [pathname]);
  useEffect(() => {
    // A window made wider shows the fixed sidebar; an open drawer would make it inert.
    const wide = matchMedia("(min-width: 64rem)");
    const close = () => dialog.current?.close();
    wide.addEventListener("change", close);
    return () => wide.removeEventListener("change", close);
  }, []);

  return (
    <header className="sticky top-0 z-30 flex h-16 items-center gap-3 border-b border-slate-700 bg-slate-800 px-2 lg:hidden">
      <button
        type="button"
        aria-label="Open menu"
        aria-haspopup="dialog"
        aria-expanded={open}
        onClick={() => {
          dialog.current?.showModal();
          setOpen(true);
        }}
        className="grid size-11 place-items-center rounded-lg text-slate-200 hover:bg-slate-700"
      >
        <Menu aria-hidden className="size-5" />
      </button>
      <Logo />
      {/* Escape is the keyboard's way; the press beside the drawer is the pointer's. */}
      {/* eslint-disable-next-line jsx-a11y/no-noninteractive-element-interactions, jsx-a11y/click-events-have-key-events */}
      <dialog
        ref={dialog}
        aria-label="Menu"
        onClose={() => setOpen(false)}
        onClick={(event) => {
          if (event.target === event.currentTarget) event.currentTarget.close();
        }}
        className="drawer m-0 h-dvh max-h-none w-72 max-w-[85vw] border-r border-slate-700 text-gold-400"
      >
        <button
          type="button"
          aria-label="Close menu"
          onClick={() => dialog.current?.close()}
          className="absolute top-2.5 right-2 grid size-11 place-items-center rounded-lg text-slate-300 hover:bg-slate-700 hover:text-white"
        >
          <X aria-hidden className="size-5" />
        </button>
        {children}
      </dialog>
    </header>
  );
}
