import { useQuery } from "@tanstack/react-query";
import { explain } from "../api/http";
import type { PolicyState } from "../api/types";
import { StateBadge, verdictText } from "../components/Badge";
import { HEAD, TOP_CELL } from "../components/cells";
import { Alert, Spinner } from "../components/feedback";
import { Table } from "../components/Table";
import { formatCount, formatMoment } from "../dataplane/format";
import { useApi } from "../session/context";
import { partRows, type Row } from "./parts";
import { usePolicy } from "./queries";

const EVERY = 5_000;

/** Each list, rule, limit and service of a policy, in the order in which they are asked, with what it has met. */
export function Parts({ policy }: { policy: PolicyState }) {
  const api = useApi();
  const said = usePolicy(policy);
  const counted = useQuery({ queryKey: ["parts"], queryFn: api.dataplaneParts, refetchInterval: EVERY });

  if (said.isPending) return <Spinner label="Reading the policy" />;
  if (said.isError) return <Alert>{explain(said.error)}</Alert>;
  const rows = partRows(said.data, counted.data);
  return (
    <div className="grid gap-4">
      {counted.isError && <Alert>{explain(counted.error)}</Alert>}
      {rows.length > 0 ? (
        <Table
          label="Parts of the policy"
          head={
            <>
              <th scope="col" className={HEAD}>Part</th>
              <th scope="col" className={HEAD}>Name</th>
              <th scope="col" className={HEAD}>Does</th>
              <th scope="col" className={`${HEAD} max-md:hidden`}>Owner</th>
              <th scope="col" className={`${HEAD} text-right`}>Packets</th>
              <th scope="col" className={`${HEAD} text-right`}>Observed</th>
              <th scope="col" className={`${HEAD} max-sm:hidden`}>Last</th>
            </>
          }
        >
          {rows.map((row) => (
            <Line key={`${row.part} ${row.id}`} row={row} known={counted.isSuccess} />
          ))}
        </Table>
      ) : (
        <p className="text-sm text-slate-300">It has no lists, rules, limits or services.</p>
      )}
      <p className="text-sm text-slate-300">
        Everything else: <span className={`font-medium ${verdictText(said.data.document.default)}`}>{said.data.document.default}</span>.
      </p>
    </div>
  );
}

function Line({ row, known }: { row: Row; known: boolean }) {
  return (
    <tr data-testid={`part-${row.part}-${row.id}`} data-value={known ? row.packets : ""}>
      <td className={TOP_CELL}>{row.part}</td>
      <th scope="row" className={`${TOP_CELL} font-normal`}>
        <span className="font-mono">{row.id}</span>
        {row.comment && <span className="block text-slate-400">{row.comment}</span>}
      </th>
      <td className={TOP_CELL}>
        <span className={verdictText(row.action)}>{row.action}</span>{" "}
        {row.mode === "observe" && <StateBadge state="unknown">observe</StateBadge>}
      </td>
      <td className={`${TOP_CELL} text-slate-300 max-md:hidden`}>{row.owner}</td>
      <td className={`${TOP_CELL} text-right tabular-nums`}>{known ? formatCount(row.packets) : "–"}</td>
      <td className={`${TOP_CELL} text-right tabular-nums`}>{known ? formatCount(row.observed) : "–"}</td>
      <td className={`${TOP_CELL} whitespace-nowrap text-slate-300 max-sm:hidden`}>{row.last ? formatMoment(row.last) : known ? "never" : "–"}</td>
    </tr>
  );
}
