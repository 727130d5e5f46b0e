import { Gauge, type LucideIcon, Radar, ShieldCheck, Users } from "lucide-react";
import { PAGES } from "../../shared/pages";
import { mayManageUsers, mayTrace } from "../session/context";

export interface Item {
  path: string;
  label: string;
  icon: LucideIcon;
  visible: (role: string) => boolean;
}

export interface Group {
  id: string;
  label: string;
  admin?: boolean;
  items: Item[];
}

const GROUPS: Group[] = [
  {
    id: "dataplane",
    label: "Data plane",
    items: [
      { path: PAGES.dashboard, label: "Dashboard", icon: Gauge, visible: () => true },
      { path: PAGES.policy, label: "Policy", icon: ShieldCheck, visible: () => true },
      { path: PAGES.tracer, label: "Packet tracer", icon: Radar, visible: mayTrace },
    ],
  },
  {
    id: "administration",
    label: "Administration",
    admin: true,
    items: [{ path: PAGES.users, label: "Users", icon: Users, visible: mayManageUsers }],
  },
];

/** The groups a role sees, without the empty ones. */
export function navigation(role: string): Group[] {
  return GROUPS.map((group) => ({ ...group, items: group.items.filter((item) => item.visible(role)) })).filter(
    (group) => group.items.length > 0,
  );
}

/** Whether an address belongs to an item; by whole segments, or /users would claim /users-x. */
export function isActive(item: Pick<Item, "path">, pathname: string): boolean {
  return item.path === pathname || (item.path !== "/" && pathname.startsWith(`${item.path}/`));
}
