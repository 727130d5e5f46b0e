import { act, screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, expect, it, vi } from "vitest";
import { App } from "../../src/client/App";
import { show } from "./pages";

afterEach(() => vi.unstubAllGlobals());

async function signIn(password: string) {
  const user = userEvent.setup();
  await user.clear(screen.getByLabelText("E-mail address"));
  await user.type(screen.getByLabelText("E-mail address"), "ada@example.test");
  await user.clear(screen.getByLabelText("Password"));
  await user.type(screen.getByLabelText("Password"), password);
  await user.click(screen.getByRole("button", { name: "Sign in" }));
}

it("sends a stranger to the sign-in page and then to where they wanted to go", async () => {
  await show(<App />, "/nowhere?x=1", null);
  expect(screen.getByTestId("address")).toHaveTextContent("/login");
  expect(screen.queryByRole("status")).not.toBeInTheDocument();
  await signIn("wrong");
  expect(await screen.findByRole("alert")).toHaveTextContent("Refused.");
  await signIn("right");
  expect(await screen.findByRole("heading", { name: "Page not found" })).toBeInTheDocument();
  expect(screen.getByTestId("address")).toHaveTextContent("/nowhere?x=1");
});

it("returns an expired session to the same page after signing in again", async () => {
  const { api, session } = await show(<App />, "/nowhere");
  api.alive = false;
  await act(() => session.request("/x", (value) => value).catch(() => undefined));
  expect(screen.getByRole("status")).toHaveTextContent("Your session has ended");
  await signIn("right");
  expect(await screen.findByRole("heading", { name: "Page not found" })).toBeInTheDocument();
});

it("starts the next person at the beginning after a sign-out", async () => {
  const { session } = await show(<App />, "/nowhere");
  await act(() => session.logout());
  expect(screen.getByTestId("address")).toHaveTextContent("/login");
  expect(screen.queryByText(/session has ended/)).not.toBeInTheDocument();
  await signIn("right");
  await vi.waitFor(() => expect(screen.getByTestId("address")).toHaveTextContent(/^\/$/));
});

it("keeps pages from roles that may not use them", async () => {
  await show(<App />, "/users", { role: "maintainer" });
  expect(await screen.findByRole("heading", { name: "Not for your role" })).toBeInTheDocument();
});

const HOST = { name: null, target: "x:1", reachable: true, status: "serving", release: null, interfaces: [], missing: [] };
/** A page's code is read when it is first gone to. */
const SLOWLY = 10_000;
const hosts = (...names: string[]) => ({ "/hosts": { hosts: names.map((host) => ({ ...HOST, host })) } });

it("is about one host at a time where there are several, and comes back to it", async () => {
  const user = userEvent.setup();
  const first = await show(<App />, "/policy", {}, hosts("edge1", "edge2"));
  expect(await screen.findByLabelText("Host")).toHaveValue("edge1");
  await vi.waitFor(() => expect(first.api.calls).toContain("/policies?host=edge1"), SLOWLY);
  await user.selectOptions(screen.getByLabelText("Host"), "edge2");
  await vi.waitFor(() => expect(first.api.calls).toContain("/policies?host=edge2"), SLOWLY);
  first.unmount();

  const second = await show(<App />, "/policy", {}, hosts("edge1", "edge2"));
  await vi.waitFor(() => expect(screen.getByLabelText("Host")).toHaveValue("edge2"), SLOWLY);
  expect(second.api.calls.filter((call) => call.startsWith("/policies"))).not.toContain("/policies?host=edge1");
  second.unmount();

  // Of a host that is gone nothing is asked any more.
  const third = await show(<App />, "/policy", {}, hosts("edge1"));
  await vi.waitFor(() => expect(third.api.calls).toContain("/policies"), SLOWLY);
  expect(screen.queryByLabelText("Host")).not.toBeInTheDocument();
});
