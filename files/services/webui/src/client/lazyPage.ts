import { type ComponentType, lazy, type LazyExoticComponent } from "react";

const FLAG = "tripodReloaded";

/**
 * Returns a page that is loaded when it is first shown.
 *
 * Its file is gone once the server has another release, whose files have other names. Then the whole document is
 * loaded anew, once: the new one knows the new names.
 */
export function lazyPage<P>(load: () => Promise<{ default: ComponentType<P> }>): LazyExoticComponent<ComponentType<P>> {
  return lazy(async () => {
    try {
      return await load();
    } catch {
      if (await replaced()) return reload();
      throw new Error("A part of this page could not be loaded; check the connection and reload the page.");
    }
  });
}

/** Whether the server has another release than the one that runs here, and a reload was not tried yet. */
async function replaced(): Promise<boolean> {
  const running = document.querySelector<HTMLScriptElement>("script[type=module][src]")?.getAttribute("src");
  // The history's entry outlives a reload, also where storage is blocked.
  if (!running || (history.state as Record<string, unknown> | null)?.[FLAG] === running) return false;
  const page = await fetch("/", { headers: { accept: "text/html" }, cache: "no-store" }).catch(() => null);
  if (!page?.ok || (await page.text()).includes(running)) return false;
  history.replaceState({ ...(history.state as object | null), [FLAG]: running }, "");
  return true;
}

function reload(): Promise<never> {
  location.reload();
  // Nothing more is shown by this document.
  return new Promise(() => undefined);
}
