import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, screen, waitFor, within } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, expect, it, vi } from "vitest";
import PolicyPage from "../../src/client/pages/PolicyPage";
import { canonical, written } from "../../src/client/policy/document";
import { show } from "./pages";
import { type RotatingApi, Told } from "./rotatingApi";

afterEach(() => vi.unstubAllGlobals());

const own = { lists: [{ name: "mine", action: "drop", prefixes: ["192.0.2.0/24"] }] };
const wanted = { lists: [{ name: "mine", action: "drop", prefixes: ["192.0.2.0/24", "198.51.100.0/24"] }] };
const state = { name: "edge", digest: "ab", interfaces: ["lab0"], revision: 7, pending: null as unknown };
const revision = { revision: 7, digest: "ab", time: "2026-01-01T00:00:00Z", owner: "api", by: "ada@example.test", name: "", why: "", summary: [], state: "current" };
const change = {
  changed: true,
  revision: 7,
  pending: null as unknown,
  summary: ["list mine: 1 entry more"],
  warnings: ["list mine has no end"],
  flips: [{ frame: "lab0 udp 198.51.100.1:1 > 192.0.2.9:53", before: "pass no_rule", after: "drop list_drop mine" }],
};
const PREVIEW = "/policies/edge/preview";

/** What the host says once a revision is in force. */
function answers(number = 7, mine: object = own, more: { pending?: unknown; revisions?: object[] } = {}) {
  const now = { ...state, revision: number, pending: more.pending ?? null };
  return {
    "/policies": { policies: [now], bans: 0 },
    "/policies/edge": { ...now, document: {}, own: mine, etag: `"${number}"` },
    "/policies/edge/history": { revisions: more.revisions ?? [{ ...revision, revision: number }] },
    "/dataplane/parts": { timestamp: "2026-01-01T00:00:03Z", interfaces: [] },
    "/bans": { bans: [], total: 0 },
    [PREVIEW]: change,
  };
}

async function page(role = "maintainer", first: Record<string, unknown> = answers()) {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const element = () => <QueryClientProvider client={client}><PolicyPage /></QueryClientProvider>;
  const view = await show(element(), "/policy", { role }, first);
  const ask = () => client.invalidateQueries();
  return { ...view, ask, user: userEvent.setup() };
}

const area = () => screen.findByLabelText<HTMLTextAreaElement>("Document");
const write = async (document: object | string) => fireEvent.change(await area(), { target: { value: typeof document === "string" ? document : written(document) } });

/** Lets the host answer otherwise from now on, and the page see it. */
async function becomes({ api, ask }: { api: RotatingApi; ask: () => Promise<void> }, now: Record<string, unknown>) {
  Object.assign(api.answers, now);
  await ask();
}

it("tries a draft, says what would flip, and puts it in force with a reason and the time to confirm", async () => {
  const { api, user } = await page();
  expect(await area()).toHaveValue(written(own));
  await write(wanted);
  await user.click(screen.getByRole("button", { name: "Preview" }));
  const preview = await screen.findByTestId("policy-preview");
  expect(api.bodies[PREVIEW]).toEqual({ document: wanted, expected: 7 });
  expect(preview).toHaveTextContent("list mine: 1 entry more");
  expect(preview).toHaveTextContent("list mine has no end");
  expect(within(screen.getByTestId("policy-flips")).getByRole("row", { name: /198\.51\.100\.1.*pass no_rule.*drop list_drop mine/ })).toBeInTheDocument();
  expect(preview).toHaveTextContent('added: "198.51.100.0/24"');

  const pending = { revision: 8, deadline: "2100-01-01T00:00:00Z", seconds_left: 60, by: "ada@example.test" };
  await user.type(screen.getByLabelText("Reason"), "scans");
  await user.clear(screen.getByLabelText("Seconds to confirm"));
  await user.type(screen.getByLabelText("Seconds to confirm"), "60");
  const waiting = answers(8, wanted, { pending, revisions: [{ ...revision, revision: 8, state: "pending" }, revision] });
  Object.assign(api.answers, waiting, { "PUT /policies/edge": { ...change, revision: 8, pending } });
  await user.click(screen.getByRole("button", { name: "Apply" }));
  expect(await screen.findByTestId("policy-pending")).toHaveTextContent("Revision 8");
  expect(api.bodies["/policies/edge"]).toEqual({ document: wanted, expected: 7, confirm_seconds: 60, why: "scans" });
  expect(await area()).toHaveAttribute("readonly");
  expect(screen.queryByTestId("policy-preview")).not.toBeInTheDocument();
});

it("gives what was tried no way into force once it is another text", async () => {
  const { user } = await page();
  await write(wanted);
  await user.click(await screen.findByRole("button", { name: "Preview" }));
  expect(await screen.findByRole("button", { name: "Apply" })).toBeInTheDocument();
  await write({ lists: [] });
  expect(screen.queryByRole("button", { name: "Apply" })).not.toBeInTheDocument();
});

it("offers nothing to put in force where nothing would change", async () => {
  const { user } = await page("admin", { ...answers(), [PREVIEW]: { ...change, changed: false } });
  await user.click(await screen.findByRole("button", { name: "Preview" }));
  expect(await screen.findByText(/Nothing would change/)).toBeInTheDocument();
  expect(screen.queryByRole("button", { name: "Apply" })).not.toBeInTheDocument();
});

it("keeps a draft over a reload, for the person whose it is", async () => {
  const first = await page();
  await write(wanted);
  first.unmount();
  const second = await page();
  expect(await area()).toHaveValue(written(wanted));
  await second.user.click(screen.getByRole("button", { name: "Discard the draft" }));
  expect(await area()).toHaveValue(written(own));
  await write(wanted);
  second.unmount();
  const { api } = await page();
  expect(await area()).toHaveValue(written(wanted));
  expect(api.count(PREVIEW)).toBe(0);
});

it("says where a text is no JSON, and does not send it", async () => {
  const { user, api } = await page();
  await write('{\n  "lists": [\n    {"name": "a", "name": "b"}\n  ]\n}');
  expect(await area()).toBeInvalid();
  expect(await area()).toHaveAccessibleDescription('Line 3, column 19: the key "name" is there twice.');
  expect(screen.getByRole("button", { name: "Preview" })).toBeDisabled();
  await user.click(screen.getByRole("button", { name: "Preview" }));
  expect(api.count(PREVIEW)).toBe(0);
});

it("shows each of the host's reasons with the way to its line", async () => {
  const detail = "lists[3] (mine of api).action: 'dorp' does not fit: One of drop, pass\nrule x of owner api has the name of one of owner inventory";
  const { user } = await page("maintainer", { ...answers(), [PREVIEW]: Told.json({ detail, code: "invalid_policy" }, { status: 422 }) });
  await write({ lists: [{ name: "other" }, { name: "mine", action: "dorp" }] });
  await user.click(screen.getByRole("button", { name: "Preview" }));
  const [first, second] = within(await screen.findByRole("alert")).getAllByRole("listitem");
  expect(first).toHaveTextContent("'dorp' does not fit");
  expect(second).toHaveTextContent("rule x of owner api");
  expect(within(screen.getByRole("alert")).getAllByRole("button")).toHaveLength(1);
  await user.click(screen.getByRole("button", { name: "Line 8" }));
  const shown = await area();
  expect(shown).toHaveFocus();
  expect(shown.value.slice(shown.selectionStart, shown.selectionEnd)).toBe('      "action": "dorp"');
});

it("tells who was faster, loses nothing of the draft, and lets the person decide", async () => {
  const view = await page();
  await write(wanted);
  const theirs = { lists: [{ name: "theirs", action: "drop" }] };
  await becomes(view, answers(8, theirs, { revisions: [{ ...revision, revision: 8, by: "bob@example.test", why: "mine was first" }, { ...revision, state: "superseded" }] }));
  const told = await screen.findByTestId("policy-overtaken");
  expect(told).toHaveTextContent("revision 8 by bob@example.test, mine was first");
  expect(told).toHaveTextContent('removed: "name": "theirs"');
  expect(await area()).toHaveValue(written(wanted));
  await view.user.click(screen.getByRole("button", { name: "Preview" }));
  await screen.findByTestId("policy-preview");
  expect(screen.queryByRole("button", { name: "Apply" })).not.toBeInTheDocument();
  await view.user.click(screen.getByRole("button", { name: "Go on with the draft" }));
  expect(screen.queryByTestId("policy-overtaken")).not.toBeInTheDocument();
  expect(await screen.findByRole("button", { name: "Apply" })).toBeInTheDocument();
  expect(view.api.bodies[PREVIEW]).toEqual({ document: wanted, expected: 8 });
});

it("is not disturbed by what others change in their own parts", async () => {
  const view = await page();
  await write(wanted);
  await becomes(view, answers(8, own, { revisions: [{ ...revision, revision: 8, owner: "feed:x" }, revision] }));
  await waitFor(() => expect(screen.getByTestId("policy-revision")).toHaveAttribute("data-value", "8"));
  expect(screen.queryByTestId("policy-overtaken")).not.toBeInTheDocument();
  await view.user.click(screen.getByRole("button", { name: "Preview" }));
  await waitFor(() => expect(view.api.bodies[PREVIEW]).toEqual({ document: wanted, expected: 8 }));
});

it("says what the API refuses, and keeps the draft", async () => {
  const { api, user } = await page();
  await write(wanted);
  await user.click(screen.getByRole("button", { name: "Preview" }));
  await user.type(await screen.findByLabelText("Reason"), "x");
  api.answers["PUT /policies/edge"] = Told.json({ detail: "revision 8 of policy edge is in force, not 7", code: "conflict" }, { status: 409 });
  await user.click(screen.getByRole("button", { name: "Apply" }));
  expect(await screen.findByRole("alert")).toHaveTextContent("revision 8 of policy edge is in force, not 7");
  expect(await area()).toHaveValue(written(wanted));
});

it.each([
  ["taken back", 7, own, "reverted", written(wanted)],
  ["confirmed", 8, own, "current", written(own)],
])("knows after a reload that what it had put in force was %s", async (_what, number, mine, became, text) => {
  localStorage.setItem("tripod.draft.7.edge", JSON.stringify({ text: written(wanted), base: canonical(own), applied: 8 }));
  await page("admin", answers(number, mine, { revisions: [{ ...revision, revision: 8, state: became }, { ...revision, state: number === 7 ? "current" : "superseded" }] }));
  await waitFor(async () => expect(await area()).toHaveValue(text));
  expect(screen.queryAllByText(/was taken back/)).toHaveLength(became === "reverted" ? 1 : 0);
  await waitFor(() => expect(localStorage.getItem("tripod.draft.7.edge") === null).toBe(became === "current"));
});

it("asks for a confirmation again until it comes over a new connection", async () => {
  const pending = { revision: 7, deadline: "2100-01-01T00:00:00Z", seconds_left: 90, by: null };
  const { api, user } = await page("maintainer", answers(7, own, { pending }));
  let old = 6;
  Object.defineProperty(api.answers, "/policies/edge/confirm", {
    get: () => ((old -= 1) < 0 ? { revision: 7 } : Told.json({ detail: "Too old.", code: "old_connection" }, { status: 421 })),
  });
  await user.click(await screen.findByRole("button", { name: "Confirm" }));
  await waitFor(() => expect(api.count("/policies/edge/confirm")).toBe(7));
  await waitFor(() => expect(screen.getByRole("button", { name: "Confirm" })).not.toHaveAttribute("aria-disabled"));
  expect(screen.queryByRole("alert")).not.toBeInTheDocument();
  old = 1_000;
  await user.click(screen.getByRole("button", { name: "Confirm" }));
  expect(await screen.findByRole("alert")).toHaveTextContent("Too old.");
});

it("says that another revision came into force while the preview was read, and keeps the draft", async () => {
  const late = Told.json({ detail: "Changed.", code: "changed_meanwhile" }, { status: 412 });
  const { api, user } = await page("maintainer", { ...answers(), "PUT /policies/edge": late });
  await write(wanted);
  await user.click(screen.getByRole("button", { name: "Preview" }));
  await user.type(await screen.findByLabelText("Reason"), "scans");
  // Somebody else's part, so that nothing of this draft is overtaken.
  Object.assign(api.answers, answers(8));
  await user.click(screen.getByRole("button", { name: "Apply" }));
  expect(await screen.findByText(/somebody else put another revision of this policy in force/)).toBeVisible();
  expect(api.matches["PUT /policies/edge"]).toBe('"7"');
  await waitFor(() => expect(screen.queryByRole("button", { name: "Apply" })).not.toBeInTheDocument());
  expect(screen.getByText(/somebody else put another revision of this policy in force/)).toBeVisible();
  expect(await area()).toHaveValue(written(wanted));
  await user.click(screen.getByRole("button", { name: "Preview" }));
  await screen.findByRole("button", { name: "Apply" });
  expect(screen.queryByText(/somebody else put another revision/)).not.toBeInTheDocument();
});
