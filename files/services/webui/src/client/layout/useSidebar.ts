import { useState } from "react";
import { useLocation } from "react-router";
import { type Group, isActive } from "./navigation";

interface Stored {
  rail: boolean;
  closed: string[];
}

const PRESET: Stored = { rail: false, closed: [] };

function read(key: string): Stored {
  try {
    const value = JSON.parse(localStorage.getItem(key) ?? "null") as Partial<Stored> | null;
    return {
      rail: value?.rail === true,
      closed: Array.isArray(value?.closed) ? value.closed.filter((id) => typeof id === "string") : [],
    };
  } catch {
    return PRESET;
  }
}

/** What is folded away in the sidebar, remembered for each person; going to a page opens its group. */
export function useSidebar(userId: number, groups: Group[]) {
  const key = `tripod.sidebar.${userId}`;
  const { pathname } = useLocation();
  const [stored, setStored] = useState(() => read(key));
  const [seen, setSeen] = useState<string | null>(null);

  function update(next: Stored): void {
    setStored(next);
    try {
      localStorage.setItem(key, JSON.stringify(next));
    } catch {
      // Storage that is full or switched off costs the memory, not the menu.
    }
  }

  const home = groups.find((group) => group.items.some((item) => isActive(item, pathname)))?.id;
  if (seen !== pathname) {
    setSeen(pathname);
    if (home && stored.closed.includes(home)) {
      setStored({ ...stored, closed: stored.closed.filter((id) => id !== home) });
    }
  }

  return {
    rail: stored.rail,
    isOpen: (id: string) => !stored.closed.includes(id),
    toggleRail: () => update({ ...stored, rail: !stored.rail }),
    toggleGroup: (id: string) =>
      update({
        ...stored,
        closed: stored.closed.includes(id) ? stored.closed.filter((other) => other !== id) : [...stored.closed, id],
      }),
  };
}

export type SidebarState = ReturnType<typeof useSidebar>;
