import * as Radix from "@radix-ui/react-tabs";
import type { ReactNode } from "react";
import { useSearchParams } from "react-router";

export interface Tab {
  id: string;
  label: string;
  panel: ReactNode;
}

interface Props {
  label: string;
  tabs: readonly [Tab, ...Tab[]];
  onChange?: () => void;
}

/** Tabs whose choice is in the address (`?tab=`); a panel keeps its state while another one shows. */
export function Tabs({ label, tabs, onChange }: Props) {
  const [query, setQuery] = useSearchParams();
  const wanted = query.get("tab");
  const current = tabs.find((tab) => tab.id === wanted) ?? tabs[0];

  return (
    <Radix.Root
      value={current.id}
      onValueChange={(tab) => {
        onChange?.();
        setQuery((old) => new URLSearchParams([...old].filter(([key]) => key !== "tab").concat([["tab", tab]])), { replace: true });
      }}
    >
      <Radix.List aria-label={label} className="mb-6 flex gap-4 overflow-x-auto border-b border-slate-700">
        {tabs.map((tab) => (
          <Radix.Trigger
            key={tab.id}
            value={tab.id}
            onFocus={(event) => event.currentTarget.scrollIntoView({ block: "nearest", inline: "nearest" })}
            className="min-h-11 shrink-0 border-b-[3px] border-transparent px-6 py-3 font-medium text-slate-300 transition-colors duration-200 hover:text-gold-300 focus-visible:-outline-offset-2 data-[state=active]:border-sky-500 data-[state=active]:font-semibold data-[state=active]:text-sky-400"
          >
            {tab.label}
          </Radix.Trigger>
        ))}
      </Radix.List>
      {tabs.map((tab) => (
        <Radix.Content key={tab.id} value={tab.id} forceMount hidden={tab.id !== current.id} className="rounded-lg">
          {tab.panel}
        </Radix.Content>
      ))}
    </Radix.Root>
  );
}
