import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, screen, waitFor, within } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, expect, it, vi } from "vitest";
import { App } from "../../src/client/App";
import { ErrorBoundary } from "../../src/client/components/ErrorBoundary";
import TracerPage from "../../src/client/pages/TracerPage";
import { Told, USER } from "./rotatingApi";
import { events, show } from "./pages";

// jsdom has no canvas to draw on.
vi.mock("../../src/client/dataplane/Chart", () => ({ Chart: () => null }));

afterEach(() => vi.unstubAllGlobals());

const program = { id: 7, name: "tripod_xdp", tag: "0011223344556677" };
const attachment = { name: "lab0", mode: "native", program };
const counters = [{ verdict: "unknown_7", reason: "new", packets: 3, bytes: 9 }];
const reading = (timestamp: string) => ({ timestamp, interfaces: [{ ...attachment, counters }], problems: [] });
const answers = {
  "/dataplane/status": { reachable: true, status: "serving", interfaces: [attachment], problems: [] },
  "/events?begin=oldest": events(reading("2026-01-01T00:00:02Z"), reading("2026-01-01T00:00:03Z")),
  "/dataplane/trace": {
    interface: "lab0",
    verdict: "unknown_7",
    reason: "new",
    would: { verdict: "drop", reason: "limit" },
    path: [
      { part: "list", id: "bogons", says: "matched", observed: false },
      { part: "limit", id: "syn", says: "exceeded", observed: true },
      { part: "new_part", id: null, says: "new_word", observed: false },
    ],
    extended: true,
    program,
  },
  "/dataplane/parts": { timestamp: "2026-01-01T00:00:03Z", interfaces: [{ name: "lab0", parts: [] }] },
  "/policies": { policies: [{ name: "edge", digest: "ab", interfaces: ["lab0"], revision: 7, pending: null }], bans: 0 },
  "/policies/edge": { name: "edge", digest: "ab", interfaces: ["lab0"], revision: 7, pending: null, document: {}, own: {} },
  "/policies/edge/history": { revisions: [] },
  "/bans": { bans: [], total: 0 },
  "/users?page=1&per_page=20": { users: [{ ...USER, role: "auditor" }], pagination: { page: 1, per_page: 20, total: 1, pages: 1 } },
};

/** What a front answers in the API's place, and what a newer API might. */
const STRANGE: [string, unknown][] = [
  ["null", null],
  ["a text", "hello"],
  ["an empty object", {}],
  ["lists that are none", { interfaces: 3, problems: null, users: {}, reachable: "yes", status: null, timestamp: 0, readings: 1 }],
  ["HTML", new Told("<html>502</html>", { status: 200, headers: { "content-type": "text/html" } })],
  ["HTML of a 502", new Told("<html>502</html>", { status: 502, headers: { "content-type": "text/html" } })],
];

/** The fixed sidebar's; the drawer has a copy of its own. */
const link = (name: string) => within(screen.getByRole("complementary")).getByRole("link", { name: new RegExp(`^${name}`) });

it.each(STRANGE)("shows every page with words where the API's answers are %s", async (_what, answer) => {
  const strange = Object.fromEntries(Object.keys(answers).map((path) => [path, answer]));
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const view = await show(<QueryClientProvider client={client}><TracerPage /></QueryClientProvider>, "/tracer", {}, strange);
  expect(await screen.findByRole("alert")).toHaveTextContent(/The server (gave an answer that this page cannot read|answered with status 502)/);
  expect(document.body).not.toHaveTextContent(/Cannot read properties/);
  view.unmount();
  for (const [address, heading] of [["/", "Dashboard"], ["/users", "Users"], ["/policy", "Policy"]] as const) {
    const page = await show(<App />, address, {}, strange);
    expect(await screen.findByRole("heading", { name: heading })).toBeInTheDocument();
    expect(document.body).not.toHaveTextContent(/Cannot read properties/);
    page.unmount();
  }
});

it("shows verdicts and roles that this release does not know", async () => {
  const user = userEvent.setup();
  await show(<App />, "/users", {}, answers);
  expect(await screen.findByText("auditor", { selector: "td *" })).toBeInTheDocument();
  await user.click(link("Dashboard"));
  expect(await screen.findByText("unknown_7")).toBeInTheDocument();
  await user.click(link("Packet tracer"));
  await user.click(await screen.findByRole("button", { name: "Trace" }));
  expect(await screen.findByTestId("trace-verdict")).toHaveTextContent("unknown_7");
});

it("tells who said what of a frame, in order, and what only observes", async () => {
  const user = userEvent.setup();
  await show(<QueryClientProvider client={new QueryClient()}><TracerPage /></QueryClientProvider>, "/tracer", {}, answers);
  await user.click(await screen.findByRole("button", { name: "Trace" }));
  const steps = within(await screen.findByTestId("trace-path")).getAllByRole("listitem");
  expect(steps.map((step) => step.textContent)).toEqual(["list bogons matched", "limit syn exceeded (observe mode)", "new_part  new_word"]);
  expect(screen.getByTestId("trace-would")).toHaveTextContent("would be drop: beyond a limit");
  expect(screen.getByTestId("trace-result")).toHaveTextContent("Another program is asked after this one");
});

it.each([
  ["an address", async (user: ReturnType<typeof userEvent.setup>) => user.type(screen.getByLabelText("Source address"), "1")],
  ["the protocol", async (user: ReturnType<typeof userEvent.setup>) => user.selectOptions(screen.getByLabelText("Protocol"), "udp")],
  ["the way to give the frame", async (user: ReturnType<typeof userEvent.setup>) => user.click(screen.getByRole("tab", { name: "Paste hex" }))],
  ["the interface", async (user: ReturnType<typeof userEvent.setup>) => user.selectOptions(screen.getByLabelText("Interface"), "lab1")],
])("forgets a verdict when its source changes: %s", async (_what, change) => {
  const user = userEvent.setup();
  const two = { ...answers, "/dataplane/status": { ...answers["/dataplane/status"], interfaces: [attachment, { ...attachment, name: "lab1" }] } };
  await show(<QueryClientProvider client={new QueryClient()}><TracerPage /></QueryClientProvider>, "/tracer", {}, two);
  await user.click(await screen.findByRole("button", { name: "Trace" }));
  await screen.findByTestId("trace-verdict");
  await change(user);
  expect(screen.queryByTestId("trace-verdict")).not.toBeInTheDocument();
  expect(screen.queryByTestId("trace-frame")).not.toBeInTheDocument();
});

it("creates once, however often the button is pressed before it is busy", async () => {
  const user = userEvent.setup();
  const { api } = await show(<App />, "/users", {}, { ...answers, "/users": USER });
  await user.click(await screen.findByRole("button", { name: "Add user" }));
  await user.type(screen.getByLabelText("Full name"), "Bob");
  await user.type(screen.getByLabelText("E-mail address"), "bob@example.test");
  await user.type(screen.getByLabelText("Password"), "long enough 1");
  const button = screen.getByRole("button", { name: "Create user" });
  act(() => {
    button.click();
    button.click();
    button.click();
  });
  await waitFor(() => expect(screen.queryByRole("button", { name: "Create user" })).not.toBeInTheDocument());
  expect(api.count("/users")).toBe(1);
});

it("says that somebody else was faster with an account, and begins again with what is there now", async () => {
  const user = userEvent.setup();
  const late = Told.json({ detail: "Changed.", code: "changed_meanwhile" }, { status: 412 });
  const { api } = await show(<App />, "/users", {}, { ...answers, "PUT /users/7": late, "DELETE /users/7": late });
  await user.click(await screen.findByRole("button", { name: "Edit ada@example.test" }));
  await user.type(screen.getByLabelText("Full name"), " B.");
  const page = { users: [{ ...USER, full_name: "Ada L.", etag: '"second"' }], pagination: { page: 1, per_page: 20, total: 1, pages: 1 } };
  api.answers["/users?page=1&per_page=20"] = page;
  await user.click(screen.getByRole("button", { name: "Save changes" }));
  expect(await screen.findByText(/Somebody else has changed this account.* It is now Ada L\./)).toBeVisible();
  expect(api.matches["PUT /users/7"]).toBe('"first"');
  api.answers["PUT /users/7"] = page.users[0];
  await user.click(screen.getByRole("button", { name: "Begin again with what is there now" }));
  expect(screen.getByLabelText("Full name")).toHaveValue("Ada L.");
  expect(screen.queryByText(/Somebody else/)).not.toBeInTheDocument();
  await user.type(screen.getByLabelText("Full name"), " B.");
  await user.click(screen.getByRole("button", { name: "Save changes" }));
  await waitFor(() => expect(screen.queryByRole("button", { name: "Save changes" })).not.toBeInTheDocument());
  expect(api.matches["PUT /users/7"]).toBe('"second"');
  await user.click(await screen.findByRole("button", { name: "Delete ada@example.test" }));
  await user.click(screen.getByRole("button", { name: "Delete user" }));
  expect(await screen.findByText(/Somebody else has changed this account/)).toBeVisible();
  expect(api.matches["DELETE /users/7"]).toBe('"second"');
});

it("puts the focus on the page's heading after each navigation", async () => {
  const user = userEvent.setup();
  await show(<App />, "/users", {}, answers);
  await screen.findByRole("heading", { name: "Users" });
  for (const heading of ["Profile", "Dashboard", "Users"]) {
    await user.click(link(heading));
    await waitFor(() => expect(screen.getByRole("heading", { name: heading, level: 1 })).toHaveFocus());
  }
});

it("takes the menu along with a role that was taken away", async () => {
  const { api, session } = await show(<App />, "/users", {}, answers);
  await screen.findByRole("heading", { name: "Users" });
  api.user = { ...USER, role: "viewer" };
  await act(() => session.reread());
  expect(await screen.findByRole("heading", { name: "Not for your role" })).toBeInTheDocument();
  expect(screen.queryByRole("link", { name: "Users" })).not.toBeInTheDocument();
});

it("says who does not answer, and calls nothing well that it does not know", async () => {
  const { api } = await show(<App />, "/", {}, answers);
  expect(await screen.findByText("serving")).toBeInTheDocument();
  const away = Told.json({ detail: "The database does not answer; try again shortly.", code: "database_unavailable" }, { status: 503 });
  api.answers = { ...answers, "/events?begin=oldest": away, "/dataplane/status": away };
  await waitFor(() => expect(screen.getByTestId("dataplane-status")).toHaveTextContent("not known"), { timeout: 10_000 });
  expect(screen.getByText("No figures while the database does not answer.")).toBeInTheDocument();
  expect(document.body).not.toHaveTextContent("data plane does not answer");
});

it("changes one's own password, and says what the API says", async () => {
  const user = userEvent.setup();
  const { api } = await show(<App />, "/profile", {}, { ...answers, "/auth/me/password": Told.json({ detail: "The current password is wrong.", code: "wrong_password" }, { status: 403 }) });
  await user.type(await screen.findByLabelText("Current password"), "right");
  await user.type(screen.getByLabelText("New password"), "long enough 1");
  await user.click(screen.getByRole("button", { name: "Change password" }));
  expect(await screen.findByRole("alert")).toHaveTextContent("The current password is wrong.");
  api.answers["/auth/me/password"] = new Told(null, { status: 204 });
  await user.click(screen.getByRole("button", { name: "Change password" }));
  expect(await screen.findByText(/Your password is changed/)).toBeInTheDocument();
  expect(screen.getByLabelText("Current password")).toHaveValue("");
});

it("shows a way out in place of what failed to render", async () => {
  const quiet = vi.spyOn(console, "error").mockImplementation(() => undefined);
  const Broken = () => {
    throw new Error("broken part");
  };
  await show(<ErrorBoundary><Broken /></ErrorBoundary>, "/");
  quiet.mockRestore();
  expect(screen.getByRole("heading", { name: "This page failed" })).toBeInTheDocument();
  expect(screen.getByRole("alert")).toHaveTextContent("broken part");
  expect(screen.getByRole("button", { name: "Reload the page" })).toBeInTheDocument();
});
