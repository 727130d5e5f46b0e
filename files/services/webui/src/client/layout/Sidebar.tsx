import { ChevronDown, ChevronRight, CircleUserRound, LogOut, PanelLeftClose, PanelLeftOpen } from "lucide-react";
import { Link, useLocation } from "react-router";
import { PAGES } from "../../shared/pages";
import { useSession, useUser } from "../session/context";
import { Logo } from "./Logo";
import { type Group, isActive, type Item } from "./navigation";
import type { SidebarState } from "./useSidebar";

const ROW = "flex min-h-11 w-full items-center gap-3 rounded-lg px-4 py-3 text-sm font-medium transition-colors";
const IDLE = "text-gold-400 hover:bg-slate-700 hover:text-gold-200";
const ACTIVE = "bg-sky-700 text-white";
const ADMIN_IDLE = "text-admin hover:bg-admin/10";
const ADMIN_ACTIVE = "bg-admin/20 text-yellow-300 ring-1 ring-inset ring-admin/50";

interface Props {
  /** Tells the ids of the drawer's copy from those of the fixed one. */
  prefix: string;
  groups: Group[];
  sidebar: SidebarState;
  /** Icons only. */
  rail: boolean;
  /** The drawer has no rail to fold into. */
  foldable: boolean;
}

export function Sidebar({ prefix, groups, sidebar, rail, foldable }: Props) {
  const session = useSession();
  const user = useUser();
  const { pathname } = useLocation();
  const RailIcon = rail ? PanelLeftOpen : PanelLeftClose;
  const centred = rail ? "justify-center px-0" : "";

  return (
    <div className="flex h-full flex-col bg-slate-800">
      <div className={`flex h-16 shrink-0 items-center border-b border-slate-700 ${rail ? "justify-center" : "px-4"}`}>
        <Logo compact={rail} />
      </div>

      <nav aria-label="Main" className="min-h-0 flex-1 overflow-y-auto px-2 py-4">
        {groups.map((group) => {
          const open = rail || sidebar.isOpen(group.id);
          const list = `${prefix}-${group.id}`;
          const Chevron = open ? ChevronDown : ChevronRight;
          return (
            <div key={group.id} className={rail ? "border-t border-slate-700 py-2 first:border-t-0" : "mb-4"}>
              {!rail && (
                <button
                  type="button"
                  aria-expanded={open}
                  aria-controls={list}
                  onClick={() => sidebar.toggleGroup(group.id)}
                  className={`flex min-h-11 w-full items-center justify-between rounded-lg px-4 text-xs font-semibold tracking-wider uppercase transition-colors hover:bg-slate-700 ${group.admin ? "text-admin" : "text-slate-400 hover:text-slate-200"}`}
                >
                  {group.label}
                  <Chevron aria-hidden className="size-3" />
                </button>
              )}
              <ul id={list} hidden={!open} className="grid gap-1">
                {group.items.map((item) => (
                  <li key={item.path}>
                    <Entry item={item} rail={rail} admin={group.admin ?? false} active={isActive(item, pathname)} />
                  </li>
                ))}
              </ul>
            </div>
          );
        })}
      </nav>

      <div className="grid shrink-0 gap-1 border-t border-slate-700 p-2">
        <Entry
          item={{ path: PAGES.profile, label: "Profile", icon: CircleUserRound }}
          detail={user.email}
          rail={rail}
          admin={false}
          active={isActive({ path: PAGES.profile }, pathname)}
        />
        <button
          type="button"
          aria-label={rail ? "Sign out" : undefined}
          title={rail ? "Sign out" : undefined}
          onClick={() => void session.logout()}
          className={`${ROW} ${IDLE} ${centred}`}
        >
          <LogOut aria-hidden className="size-5 shrink-0" />
          {!rail && "Sign out"}
        </button>
        {foldable && (
          <button
            type="button"
            aria-label={rail ? "Expand sidebar" : undefined}
            title={rail ? "Expand sidebar" : undefined}
            aria-expanded={!rail}
            aria-controls="sidebar"
            onClick={sidebar.toggleRail}
            className={`${ROW} text-slate-400 hover:bg-slate-700 hover:text-slate-200 ${centred}`}
          >
            <RailIcon aria-hidden className="size-5 shrink-0" />
            {!rail && "Collapse sidebar"}
          </button>
        )}
      </div>
    </div>
  );
}

interface EntryProps {
  item: Pick<Item, "path" | "label" | "icon">;
  detail?: string;
  rail: boolean;
  admin: boolean;
  active: boolean;
}

function Entry({ item, detail, rail, admin, active }: EntryProps) {
  const Icon = item.icon;
  const colours = admin ? (active ? ADMIN_ACTIVE : ADMIN_IDLE) : active ? ACTIVE : IDLE;
  return (
    <Link
      to={item.path}
      aria-label={rail ? item.label : undefined}
      aria-current={active ? "page" : undefined}
      title={rail ? item.label : undefined}
      className={`${ROW} ${colours} ${rail ? "justify-center px-0" : ""}`}
    >
      <Icon aria-hidden className="size-5 shrink-0" />
      {!rail && (
        <span className="min-w-0 truncate">
          {item.label}
          {detail && <span className={`block truncate text-xs font-normal ${active ? "text-white" : "text-slate-400"}`}>{detail}</span>}
        </span>
      )}
    </Link>
  );
}
