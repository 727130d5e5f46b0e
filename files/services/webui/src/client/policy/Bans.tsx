import { useQuery } from "@tanstack/react-query";
import { type SubmitEvent, useState } from "react";
import { explain } from "../api/http";
import { type Ban, type NewBan } from "../api/types";
import { useSave } from "../api/useSave";
import { Button } from "../components/Button";
import { Card } from "../components/Card";
import { HEAD, TOP_CELL } from "../components/cells";
import { Field, Select } from "../components/Field";
import { textOf } from "../components/form";
import { Alert, Spinner } from "../components/feedback";
import { Table } from "../components/Table";
import { formatCount, formatMoment } from "../dataplane/format";
import { useApi } from "../session/context";

const EVERY = 5_000;
/** Where a ban shows. */
const SEEN_IN = ["bans", "policies"];
const HOUR = 3_600;
const DURATIONS = [
  ["600", "10 minutes"],
  [String(HOUR), "1 hour"],
  [String(24 * HOUR), "1 day"],
  [String(7 * 24 * HOUR), "7 days"],
] as const;

/** The addresses that are banned now, and the form to ban another for those who may. */
export function Bans({ mayChange }: { mayChange: boolean }) {
  const api = useApi();
  const bans = useQuery({ queryKey: ["bans"], queryFn: api.bans, refetchInterval: EVERY });
  const unban = useSave((address: string) => api.unban(address), SEEN_IN);
  return (
    <Card title="Bans" aside={bans.data && <span className="text-sm text-slate-400" data-testid="bans-total">{formatCount(bans.data.total)} in force</span>}>
      {mayChange && <BanForm />}
      {unban.isError && <Alert>{explain(unban.error)}</Alert>}
      {bans.isPending && <Spinner label="Asking for bans" />}
      {bans.isError && <Alert>{explain(bans.error)}</Alert>}
      {bans.isSuccess &&
        (bans.data.bans.length > 0 ? (
          <Banned bans={bans.data.bans} busy={unban.isPending} onUnban={mayChange ? unban.mutate : null} />
        ) : (
          <p className="text-sm text-slate-300">No address is banned.</p>
        ))}
      {bans.data && bans.data.total > bans.data.bans.length && (
        <p className="mt-3 text-sm text-slate-300">The first {bans.data.bans.length} by address; the API has all.</p>
      )}
    </Card>
  );
}

function BanForm() {
  const api = useApi();
  const [seconds, setSeconds] = useState<string>(DURATIONS[0][0]);
  const [form, setForm] = useState<HTMLFormElement | null>(null);
  const ban = useSave((wanted: NewBan) => api.ban(wanted), SEEN_IN, () => form?.reset());

  function submit(event: SubmitEvent<HTMLFormElement>): void {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    ban.mutate({ address: textOf(given, "address").trim(), seconds: Number(seconds), comment: textOf(given, "comment").trim() });
  }

  return (
    <form ref={setForm} onSubmit={submit} className="mb-6 grid gap-4">
      {ban.isError && <Alert>{explain(ban.error)}</Alert>}
      <div className="grid gap-4 sm:grid-cols-3">
        <Field label="Address to ban" name="address" autoComplete="off" spellCheck={false} maxLength={45} required />
        <Select label="For" value={seconds} options={DURATIONS} onSelect={setSeconds} />
        <Field label="Why" name="comment" autoComplete="off" maxLength={200} />
      </div>
      <Button type="submit" look="danger" busy={ban.isPending} className="justify-self-start">Ban</Button>
    </form>
  );
}

function Banned({ bans, busy, onUnban }: { bans: readonly Ban[]; busy: boolean; onUnban: ((address: string) => void) | null }) {
  return (
    <Table
      label="Banned addresses"
      head={
        <>
          <th scope="col" className={HEAD}>Address</th>
          <th scope="col" className={HEAD}>Until</th>
          <th scope="col" className={`${HEAD} text-right`}>Dropped</th>
          <th scope="col" className={`${HEAD} max-md:hidden`}>By</th>
          <th scope="col" className={`${HEAD} max-sm:hidden`}>Why</th>
          {onUnban && <th scope="col" className={HEAD}><span className="sr-only">Actions</span></th>}
        </>
      }
    >
      {bans.map((ban) => (
        <tr key={ban.address} data-testid={`ban-${ban.address}`}>
          <th scope="row" className={`${TOP_CELL} font-mono font-normal`}>{ban.address}</th>
          <td className={`${TOP_CELL} whitespace-nowrap`}>{formatMoment(ban.until)}</td>
          <td className={`${TOP_CELL} text-right tabular-nums`}>{formatCount(ban.packets)}</td>
          <td className={`${TOP_CELL} text-slate-300 max-md:hidden`}>{ban.by ?? ban.owner}</td>
          <td className={`${TOP_CELL} text-slate-300 max-sm:hidden`}>{ban.comment}</td>
          {onUnban && (
            <td className={`${TOP_CELL} text-right`}>
              <Button look="secondary" busy={busy} aria-label={`Unban ${ban.address}`} onClick={() => onUnban(ban.address)}>Unban</Button>
            </td>
          )}
        </tr>
      ))}
    </Table>
  );
}
