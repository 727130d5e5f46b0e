import { useEffect, useMemo, useSyncExternalStore } from "react";
import type { PolicyState, Revision } from "../api/types";
import { useApi, useUser } from "../session/context";
import { canonical, written } from "./document";
import { type Draft, draftKey, Drafts, parseDraft } from "./drafts";

/** What has become of a draft: not in force yet, in force until its deadline, confirmed, or taken back. */
export type Fate = "open" | "waiting" | "confirmed" | "taken back";

const drafts = new Drafts();

/**
 * This person's draft of a policy, in this browser.
 *
 * @param own What of the API is in force.
 * @param revisions The last ones; undefined while they are not known.
 */
export function useDraft(policy: PolicyState, own: object, revisions: readonly Revision[] | undefined) {
  const key = draftKey(useUser().id, policy.name, useApi().host);
  const raw = useSyncExternalStore(drafts.subscribe, () => drafts.raw(key));
  const kept = useMemo(() => parseDraft(raw), [raw]);
  const fate = kept ? fateOf(kept, policy, revisions) : "open";
  const draft = fate === "confirmed" ? null : kept;
  const base = canonical(own);
  useEffect(() => {
    if (fate === "confirmed") drafts.remove(key);
  }, [fate, key]);

  return {
    text: draft?.text ?? written(own),
    /** Whether there is a draft at all. */
    begun: draft !== null,
    fate,
    /** Somebody else has changed since what it was begun from. */
    overtaken: draft !== null && fate !== "waiting" && draft.base !== base,
    /** A reload would lose it. */
    fleeting: draft !== null && drafts.fleeting(key),
    edit: (text: string) => drafts.write(key, { text, base: draft?.base ?? base, applied: null }),
    /** Goes on with it as a change of what is in force now. */
    rebase: (text: string) => drafts.write(key, { text, base, applied: null }),
    /** Notes that it is in force as a revision. */
    apply: (text: string, revision: number) => drafts.write(key, { text, base: draft?.base ?? base, applied: revision }),
    discard: () => drafts.remove(key),
  };
}

export function fateOf({ applied }: Draft, { pending }: PolicyState, revisions: readonly Revision[] | undefined): Fate {
  if (applied === null) return "open";
  if (pending?.revision === applied || !revisions) return "waiting";
  const state = revisions.find(({ revision }) => revision === applied)?.state;
  if (state === "reverted") return "taken back";
  if (state === "pending") return "waiting";
  // One that is not there yet was made a moment ago; one that is not there any more was followed by ten others.
  const newest = revisions[0]?.revision ?? 0;
  return state === undefined && applied > newest ? "waiting" : "confirmed";
}
