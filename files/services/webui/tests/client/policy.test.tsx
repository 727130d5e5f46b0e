import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { screen, waitFor, within } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, expect, it, vi } from "vitest";
import { policy as policyCheck } from "../../src/client/api/types";
import PolicyPage from "../../src/client/pages/PolicyPage";
import { partRows } from "../../src/client/policy/parts";
import { show } from "./pages";
import { Told } from "./rotatingApi";

afterEach(() => vi.unstubAllGlobals());

const counter = { packets: 0, bytes: 0, observed_packets: 0, observed_bytes: 0, last: null as string | null };
const state = { name: "edge", digest: "ab", interfaces: ["lab0", "lab1"], revision: 7, pending: null as unknown };
const document = {
  lists: [
    { name: "bogons", action: "drop", mode: "enforce", owner: "inventory", entries: 5000, prefixes: ["192.0.2.0/24"] },
    { name: "scanners", action: "drop", mode: "observe", owner: "feed:x" },
  ],
  rules: [{ id: "no-snmp", action: "drop", comment: "never from outside" }, { id: "syn", limit: "new" }],
  limits: [{ name: "new", per: "source", packets: "50/s" }],
  services: [{ name: "web", action: "syncookie" }],
  default: "drop",
};
const own = { lists: [{ name: "mine", action: "drop" }] };
const parts = {
  timestamp: "2026-01-01T00:00:03Z",
  interfaces: [
    { name: "lab0", parts: [{ ...counter, part: "list", id: "bogons", packets: 1200, last: "2026-01-01T00:00:00Z" }] },
    {
      name: "lab1",
      parts: [
        { ...counter, part: "list", id: "bogons", packets: 34, last: "2026-01-01T00:00:02Z" },
        { ...counter, part: "list", id: "scanners", observed_packets: 9, last: "2026-01-01T00:00:01Z" },
        { ...counter, part: "unknown", id: "17", packets: 2 },
      ],
    },
    { name: "other0", parts: [{ ...counter, part: "list", id: "bogons", packets: 5 }] },
  ],
};
const revisions = [
  { revision: 7, time: "2026-01-01T00:00:00Z", owner: "api", by: "ada@example.test", name: "evening", why: "too many scans", digest: "ab", summary: ["list a: new"], state: "current" },
  { revision: 6, time: "2026-01-01T00:00:00Z", owner: "inventory", by: null, name: "", why: "", digest: "cd", summary: [], state: "superseded" },
];
const ban = { address: "2001:db8::1", until: "2026-01-01T01:00:00Z", owner: "api", by: "ada@example.test", comment: "scans", packets: 4321 };
const answers = {
  "/policies": { policies: [state], bans: 1 },
  "/policies/edge": { ...state, document, own },
  "/policies/edge/history": { revisions },
  "/dataplane/parts": parts,
  "/bans": { bans: [ban], total: 1 },
};

async function page(role: string, more: Record<string, unknown> = {}) {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const view = await show(<QueryClientProvider client={client}><PolicyPage /></QueryClientProvider>, "/policy", { role }, { ...answers, ...more });
  return { ...view, user: userEvent.setup() };
}

const change = { changed: true, revision: 8, pending: null, summary: [], warnings: [], flips: [] };

it("joins what a policy says with what its own interfaces have counted, and loses no packet", () => {
  const rows = partRows(policyCheck({ ...state, document, own }), parts);
  expect(rows.map(({ part, id, action, packets, observed, last }) => [part, id, action, packets, observed, last])).toEqual([
    ["list", "bogons", "drop", 1234, 0, "2026-01-01T00:00:02Z"],
    ["list", "scanners", "drop", 0, 9, "2026-01-01T00:00:01Z"],
    ["rule", "no-snmp", "drop", 0, 0, null],
    ["rule", "syn", "limit:new", 0, 0, null],
    ["limit", "new", "", 0, 0, null],
    ["service", "web", "syncookie", 0, 0, null],
    ["unknown", "17", "", 2, 0, null],
  ]);
});

it("shows a viewer everything and no way to change it", async () => {
  await page("viewer", { "/policies": { policies: [{ ...state, pending: { revision: 7, deadline: "2026-01-01T00:00:00Z", seconds_left: 0, by: null } }], bans: 1 } });
  const bogons = await screen.findByTestId("part-list-bogons");
  await waitFor(() => expect(bogons).toHaveTextContent("1,234"));
  expect(screen.getByTestId("part-list-scanners")).toHaveTextContent("observe");
  expect(screen.getByTestId("part-rule-no-snmp")).toHaveTextContent("never from outside");
  expect(screen.getByTestId("part-rule-no-snmp")).toHaveTextContent("never");
  expect(screen.getByTestId("policy-pending")).toHaveTextContent("Revision 7 is in force until");
  expect(await screen.findByTestId("ban-2001:db8::1")).toHaveTextContent(/4,321.*scans/);
  expect(screen.getByTestId("revision-7")).toHaveTextContent(/7 evening.*too many scans/);
  expect(await screen.findByTestId("revision-7")).toHaveTextContent("list a: new");
  expect(screen.queryByRole("button")).not.toBeInTheDocument();
});

it("bans and unbans, and says why it may not", async () => {
  const { api, user } = await page("maintainer", { "/bans/2001%3Adb8%3A%3A1": new Told(null, { status: 204 }) });
  await user.click(await screen.findByRole("button", { name: "Unban 2001:db8::1" }));
  await waitFor(() => expect(api.count("/bans/2001%3Adb8%3A%3A1")).toBe(1));
  api.answers["POST /bans"] = Told.json({ detail: "192.0.2.1 is trusted\nno ban holds for it", code: "invalid_policy" }, { status: 422 });
  await user.type(screen.getByLabelText("Address to ban"), " 192.0.2.1 ");
  await user.selectOptions(screen.getByLabelText("For"), "1 day");
  await user.type(screen.getByLabelText("Why"), "scans");
  await user.click(screen.getByRole("button", { name: "Ban" }));
  expect(await screen.findByRole("alert")).toHaveTextContent("192.0.2.1 is trusted");
  expect(api.bodies["/bans"]).toEqual({ address: "192.0.2.1", seconds: 86400, comment: "scans" });
});

it("confirms the change that is shown, or takes it back", async () => {
  const pending = { revision: 7, deadline: "2100-01-01T00:00:00Z", seconds_left: 90, by: "ada@example.test" };
  const { api, user } = await page("admin", {
    "/policies": { policies: [{ ...state, pending }], bans: 0 },
    "/policies/edge/confirm": { revision: 7 },
    "/policies/edge/revert": change,
  });
  expect(await screen.findByTestId("policy-pending")).toHaveTextContent("Revision 7 by ada@example.test is in force until");
  // By the host's clock, whatever this browser's says.
  expect(screen.getByRole("timer")).toHaveTextContent(/^(90|8\d) s$/);
  await user.click(screen.getByRole("button", { name: "Confirm" }));
  await waitFor(() => expect(api.bodies["/policies/edge/confirm"]).toEqual({ revision: 7 }));
  await user.click(screen.getByRole("button", { name: "Take it back now" }));
  await waitFor(() => expect(api.bodies["/policies/edge/revert"]).toEqual({ revision: null, confirm_seconds: 0 }));
});

it("goes back to an earlier revision only when that is said twice", async () => {
  const { api, user } = await page("maintainer", { "/policies/edge/revert": change });
  await user.click(await screen.findByRole("button", { name: "Go back to revision 6" }));
  const dialog = await screen.findByRole("dialog");
  expect(api.count("/policies/edge/revert")).toBe(0);
  await user.click(within(dialog).getByRole("button", { name: "Go back" }));
  await waitFor(() => expect(screen.queryByRole("dialog")).not.toBeInTheDocument());
  expect(api.bodies["/policies/edge/revert"]).toEqual({ revision: 6, confirm_seconds: 120 });
});

it("says what is not known, and not that it is nothing", async () => {
  const away = Told.json({ detail: "The data plane's control service does not answer.", code: "dataplane_unavailable" }, { status: 503 });
  await page("viewer", { "/dataplane/parts": away });
  expect(await screen.findByTestId("part-list-bogons")).toHaveTextContent("–");
  expect(screen.getByTestId("part-list-bogons")).not.toHaveTextContent("never");
  await screen.findByText(/control service does not answer/);
});
