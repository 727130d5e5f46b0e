import type { Problem } from "../api/types";
import { Alert, Notice } from "../components/feedback";

/** What the states of an interface mean, as the end of a sentence that begins with its name. */
const OF_AN_INTERFACE: Record<string, string> = {
  absent: "is not there",
  detached: "runs no program",
  foreign: "runs another program",
  unpinned: "runs a program that is not pinned",
  damaged: "runs its program, but its pins are damaged",
  outdated: "runs the program of an earlier release",
  unreadable: "could not be read",
};

const OF_NO_INTERFACE: Record<string, string> = {
  unreadable: "The pins of this host could not be read",
  object_unusable: "The XDP object cannot be used, so frames cannot be traced and reasons may lack their names",
  unexpected: "Entries among the pins belong to no interface",
};

/** States in which the data plane counts as healthy all the same. */
const HARMLESS = new Set(["absent", "outdated", "unexpected"]);

function List({ problems }: { problems: readonly Problem[] }) {
  return (
    <ul className="grid gap-2">
      {problems.map(({ interface: ifname, state, problem }) => (
        <li key={`${ifname ?? ""} ${state}`} data-testid={`problem-${ifname ?? "host"}-${state}`} className="break-words">
          {ifname === null ? (
            (OF_NO_INTERFACE[state] ?? state)
          ) : (
            <>
              <span className="font-mono font-semibold">{ifname}</span> {OF_AN_INTERFACE[state] ?? `is ${state}`}
            </>
          )}
          : {problem}
        </li>
      ))}
    </ul>
  );
}

/** What is wrong with the data plane, each with the way out; nothing where all is well. */
export function Problems({ problems }: { problems: readonly Problem[] }) {
  const harmless = problems.filter(({ state }) => HARMLESS.has(state));
  const others = problems.filter(({ state }) => !HARMLESS.has(state));
  return (
    <>
      {others.length > 0 && (
        <Alert>
          <List problems={others} />
        </Alert>
      )}
      {harmless.length > 0 && (
        <Notice>
          <List problems={harmless} />
        </Notice>
      )}
    </>
  );
}
