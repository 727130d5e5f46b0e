import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { Pencil, Trash2, UserPlus } from "lucide-react";
import { type SubmitEvent, useState } from "react";
import { useSearchParams } from "react-router";
import { explain, isOvertaken } from "../api/http";
import { type NewUser, type Role, ROLES, type User, type UserChange } from "../api/types";
import { useSave } from "../api/useSave";
import { RoleBadge, StateBadge } from "../components/Badge";
import { Button } from "../components/Button";
import { Card } from "../components/Card";
import { Dialog } from "../components/Dialog";
import { Field, PASSWORD_LENGTH, Select } from "../components/Field";
import { textOf } from "../components/form";
import { Alert, Spinner } from "../components/feedback";
import { Page } from "../components/Page";
import { formatDay } from "../dataplane/format";
import { useApi, useUser } from "../session/context";

const PER_PAGE = 20;
/** Where a change of an account shows. */
const SEEN_IN = ["users"];

type Open = { kind: "create" } | { kind: "edit" | "delete"; user: User } | null;

export default function UsersPage() {
  const api = useApi();
  const [query, setQuery] = useSearchParams();
  const page = Math.max(1, Number.parseInt(query.get("page") ?? "1", 10) || 1);
  const list = useQuery({ queryKey: ["users", page], queryFn: () => api.users(page, PER_PAGE), placeholderData: keepPreviousData });
  const [open, setOpen] = useState<Open>(null);
  const close = () => setOpen(null);
  const again = (user: User) => ({
    user,
    latest: list.data?.users.find(({ id }) => id === user.id),
    onAgain: (latest: User) => setOpen((now) => now && { ...now, user: latest }),
  });
  const goTo = (to: number) => setQuery(to > 1 ? { page: String(to) } : {});

  return (
    <Page
      title="Users"
      lead="Who may sign in, and what they may do."
      aside={
        <Button onClick={() => setOpen({ kind: "create" })}>
          <UserPlus aria-hidden className="size-5" />
          Add user
        </Button>
      }
    >
      {list.isError && <Alert>{explain(list.error)}</Alert>}
      {list.isPending && <Spinner label="Loading users" />}
      {list.data && (
        <Card>
          <Table users={list.data.users} onEdit={(user) => setOpen({ kind: "edit", user })} onDelete={(user) => setOpen({ kind: "delete", user })} />
          <Pager page={page} pages={list.data.pagination.pages} total={list.data.pagination.total} onGo={goTo} />
        </Card>
      )}
      {open?.kind === "create" && <CreateDialog onClose={close} />}
      {open?.kind === "edit" && <EditDialog key={open.user.etag} {...again(open.user)} onClose={close} />}
      {open?.kind === "delete" && <DeleteDialog key={open.user.etag} {...again(open.user)} onClose={close} />}
    </Page>
  );
}

const HEAD = "px-2 py-2 font-medium first:pl-0 last:pr-0 sm:px-3";
const CELL = "px-2 py-2 first:pl-0 last:pr-0 sm:px-3";
const ICON = "grid size-11 place-items-center rounded-lg text-slate-300 transition-colors hover:bg-slate-700 hover:text-white";

function Table({ users, onEdit, onDelete }: { users: User[]; onEdit: (user: User) => void; onDelete: (user: User) => void }) {
  const me = useUser();
  return (
    <table className="w-full table-fixed text-left text-sm text-slate-200">
      <thead className="border-b border-slate-700 text-slate-400">
        <tr>
          <th scope="col" className={HEAD}>Person</th>
          <th scope="col" className={`${HEAD} w-32 max-md:hidden`}>Role</th>
          <th scope="col" className={`${HEAD} w-28 max-md:hidden`}>State</th>
          <th scope="col" className={`${HEAD} w-34 max-lg:hidden`}>Since</th>
          <th scope="col" className={`${HEAD} w-26`}><span className="sr-only">Actions</span></th>
        </tr>
      </thead>
      <tbody className="divide-y divide-slate-700">
        {users.map((user) => (
          <tr key={user.id} data-testid={`user-${user.email}`}>
            <th scope="row" className={`${CELL} font-normal`}>
              <span className="block truncate font-medium text-gold-400" title={user.full_name}>
                {user.full_name}
                {user.id === me.id && <span className="font-normal text-slate-400"> (you)</span>}
              </span>
              <span className="block truncate text-slate-300" title={user.email}>{user.email}</span>
              <span className="mt-1 flex gap-2 md:hidden">
                <RoleBadge role={user.role} />
                {!user.is_active && <StateBadge state="bad">inactive</StateBadge>}
              </span>
            </th>
            <td className={`${CELL} max-md:hidden`}><RoleBadge role={user.role} /></td>
            <td className={`${CELL} max-md:hidden`}><StateBadge state={user.is_active ? "good" : "bad"}>{user.is_active ? "active" : "inactive"}</StateBadge></td>
            <td className={`${CELL} whitespace-nowrap text-slate-300 max-lg:hidden`}>{formatDay(user.created_at)}</td>
            <td className={CELL}>
              <div className="flex justify-end">
                <button type="button" aria-label={`Edit ${user.email}`} title="Edit" onClick={() => onEdit(user)} className={ICON}><Pencil aria-hidden className="size-5" /></button>
                <button type="button" aria-label={`Delete ${user.email}`} title="Delete" onClick={() => onDelete(user)} className={ICON}><Trash2 aria-hidden className="size-5" /></button>
              </div>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Pager({ page, pages, total, onGo }: { page: number; pages: number; total: number; onGo: (page: number) => void }) {
  return (
    <nav aria-label="Pages" className="mt-4 flex flex-wrap items-center justify-between gap-2 border-t border-slate-700 pt-4 text-sm text-slate-300">
      <p role="status">{total} {total === 1 ? "user" : "users"}, page {page} of {Math.max(pages, 1)}</p>
      {(pages > 1 || page > 1) && (
        <div className="flex gap-2">
          <Button look="secondary" disabled={page <= 1} onClick={() => onGo(Math.min(page - 1, Math.max(pages, 1)))}>Previous</Button>
          <Button look="secondary" disabled={page >= pages} onClick={() => onGo(page + 1)}>Next</Button>
        </div>
      )}
    </nav>
  );
}

const ROLE_OPTIONS: readonly (readonly [Role, string])[] = ROLES.map((role) => [role, role]);

function Actions({ busy, submit, look = "primary", onClose }: { busy: boolean; submit: string; look?: "primary" | "danger"; onClose: () => void }) {
  return (
    <div className="mt-2 flex justify-end gap-2">
      <Button look="ghost" onClick={onClose}>Cancel</Button>
      <Button type="submit" look={look} busy={busy}>{submit}</Button>
    </div>
  );
}

function CreateDialog({ onClose }: { onClose: () => void }) {
  const api = useApi();
  const [role, setRole] = useState<Role>("viewer");
  const save = useSave((user: NewUser) => api.createUser(user), SEEN_IN, onClose);

  function submit(event: SubmitEvent<HTMLFormElement>): void {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    save.mutate({ full_name: textOf(form, "full_name").trim(), email: textOf(form, "email").trim(), password: textOf(form, "password"), role });
  }

  return (
    <Dialog title="Add user" onClose={onClose}>
      <form onSubmit={submit} className="grid gap-4">
        {save.isError && <Alert>{explain(save.error)}</Alert>}
        <Field label="Full name" name="full_name" autoComplete="off" maxLength={200} required />
        <Field label="E-mail address" name="email" inputMode="email" autoComplete="off" maxLength={254} required />
        <Field label="Password" name="password" type="password" autoComplete="new-password" minLength={PASSWORD_LENGTH} hint={`At least ${PASSWORD_LENGTH} characters.`} required />
        <Select label="Role" value={role} options={ROLE_OPTIONS} onSelect={setRole} />
        <Actions busy={save.isPending} submit="Create user" onClose={onClose} />
      </form>
    </Dialog>
  );
}

interface ChangeProps {
  /** The account as it was when the dialog was opened. */
  user: User;
  /** As it was read last; undefined where it is not on the page any more. */
  latest: User | undefined;
  onAgain: (latest: User) => void;
  onClose: () => void;
}

/** Why it was not saved; of an account that somebody else changed meanwhile, what it is now and the way on. */
function Refused({ error, user, latest, onAgain }: Omit<ChangeProps, "onClose"> & { error: unknown }) {
  if (!isOvertaken(error)) return <Alert>{explain(error)}</Alert>;
  const changed = latest && latest.etag !== user.etag ? latest : null;
  return (
    <div className="grid justify-items-start gap-3">
      <Alert>
        Somebody else has changed this account since you opened it, so nothing of yours was saved.
        {changed && ` It is now ${changed.full_name} (${changed.email}), ${changed.role}, ${changed.is_active ? "active" : "inactive"}.`}
      </Alert>
      {changed && <Button look="secondary" onClick={() => onAgain(changed)}>Begin again with what is there now</Button>}
    </div>
  );
}

function EditDialog({ user, latest, onAgain, onClose }: ChangeProps) {
  const api = useApi();
  const [role, setRole] = useState(user.role);
  const roles = ROLE_OPTIONS.some(([known]) => known === user.role) ? ROLE_OPTIONS : [...ROLE_OPTIONS, [user.role, user.role] as const];
  const [active, setActive] = useState(user.is_active);
  const save = useSave((change: UserChange) => api.changeUser(user, change), SEEN_IN, onClose);

  function submit(event: SubmitEvent<HTMLFormElement>): void {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const wanted: UserChange = { full_name: textOf(form, "full_name").trim(), email: textOf(form, "email").trim(), role, is_active: active };
    const password = textOf(form, "password");
    // Only what differs, so that two people who edit the same account don't undo each other's change.
    const change = Object.fromEntries(
      Object.entries(wanted).filter(([name, value]) => value !== user[name as keyof User]),
    ) as UserChange;
    if (password) change.password = password;
    if (Object.keys(change).length === 0) onClose();
    else save.mutate(change);
  }

  return (
    <Dialog title={`Edit ${user.full_name}`} onClose={onClose}>
      <form onSubmit={submit} className="grid gap-4">
        {save.isError && <Refused error={save.error} user={user} latest={latest} onAgain={onAgain} />}
        <Field label="Full name" name="full_name" defaultValue={user.full_name} autoComplete="off" maxLength={200} required />
        <Field label="E-mail address" name="email" inputMode="email" defaultValue={user.email} autoComplete="off" maxLength={254} required />
        <Field label="New password" name="password" type="password" autoComplete="new-password" minLength={PASSWORD_LENGTH} hint={`Empty: keep the present one. At least ${PASSWORD_LENGTH} characters; ends the person's sessions.`} />
        <Select label="Role" value={role} options={roles} onSelect={setRole} />
        <label className="flex min-h-11 items-center gap-3 text-sm font-medium text-gold-300">
          <input type="checkbox" checked={active} onChange={(event) => setActive(event.target.checked)} className="size-5 accent-sky-500" />
          Active: may sign in
        </label>
        <Actions busy={save.isPending} submit="Save changes" onClose={onClose} />
      </form>
    </Dialog>
  );
}

function DeleteDialog({ user, latest, onAgain, onClose }: ChangeProps) {
  const api = useApi();
  const save = useSave(() => api.deleteUser(user), SEEN_IN, onClose);
  return (
    <Dialog title="Delete user" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate(undefined);
        }}
        className="grid gap-4"
      >
        {save.isError && <Refused error={save.error} user={user} latest={latest} onAgain={onAgain} />}
        <p className="text-sm wrap-anywhere text-slate-200">
          Delete <strong>{user.full_name}</strong> ({user.email}) for good? To keep the account but bar it, edit it and make it inactive.
        </p>
        <Actions busy={save.isPending} submit="Delete user" look="danger" onClose={onClose} />
      </form>
    </Dialog>
  );
}
