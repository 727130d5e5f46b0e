import { screen, within } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { Route, Routes } from "react-router";
import { afterEach, describe, expect, it, vi } from "vitest";
import { isActive } from "../../src/client/layout/navigation";
import { Shell } from "../../src/client/layout/Shell";
import { show } from "./pages";

afterEach(() => vi.unstubAllGlobals());

const shell = (
  <Routes>
    <Route element={<Shell />}>
      <Route path="*" element={<h1>Page</h1>} />
    </Route>
  </Routes>
);

/** The fixed sidebar; the drawer has a copy of its own. */
const sidebar = () => within(screen.getByRole("complementary"));

describe("groups", () => {
  it("fold, say so, and are found folded by the same person", async () => {
    const user = userEvent.setup();
    const first = await show(shell, "/profile");
    const header = sidebar().getByRole("button", { name: "Administration" });
    expect(header).toHaveAttribute("aria-expanded", "true");
    const list = document.getElementById(header.getAttribute("aria-controls") ?? "");
    expect(list).toContainElement(sidebar().getByRole("link", { name: "Users" }));
    await user.click(header);
    expect(header).toHaveAttribute("aria-expanded", "false");
    expect(list).not.toBeVisible();
    first.unmount();

    const second = await show(shell, "/profile");
    expect(sidebar().getByRole("button", { name: "Administration" })).toHaveAttribute("aria-expanded", "false");
    second.unmount();

    await show(shell, "/profile", { id: 8 });
    expect(sidebar().getByRole("button", { name: "Administration" })).toHaveAttribute("aria-expanded", "true");
  });

  it("open when their page is gone to", async () => {
    localStorage.setItem("tripod.sidebar.7", JSON.stringify({ rail: false, closed: ["administration", "dataplane"] }));
    await show(shell, "/users");
    expect(sidebar().getByRole("button", { name: "Administration" })).toHaveAttribute("aria-expanded", "true");
    expect(sidebar().getByRole("button", { name: "Data plane" })).toHaveAttribute("aria-expanded", "false");
  });
});

describe("the rail", () => {
  it("keeps every link's name and is found again", async () => {
    const user = userEvent.setup();
    const first = await show(shell, "/");
    await user.click(sidebar().getByRole("button", { name: "Collapse sidebar" }));
    expect(sidebar().getByRole("button", { name: "Expand sidebar" })).toHaveAttribute("aria-expanded", "false");
    for (const name of ["Dashboard", "Packet tracer", "Users", "Profile"]) {
      expect(sidebar().getByRole("link", { name })).toHaveAttribute("title", name);
    }
    first.unmount();
    await show(shell, "/");
    expect(sidebar().getByRole("button", { name: "Expand sidebar" })).toBeInTheDocument();
  });

  it.each(["not json", "17", "null", '{"closed":3}'])("takes no harm from %j in storage", async (text) => {
    localStorage.setItem("tripod.sidebar.7", text);
    await show(shell, "/");
    expect(sidebar().getByRole("button", { name: "Collapse sidebar" })).toBeInTheDocument();
  });
});

it.each([
  ["viewer", ["Dashboard", "Policy"]],
  ["maintainer", ["Dashboard", "Policy", "Packet tracer"]],
  ["admin", ["Dashboard", "Policy", "Packet tracer", "Users"]],
] as const)("shows a %s their pages only", async (role, names) => {
  await show(shell, "/", { role });
  const links = within(sidebar().getByRole("navigation", { name: "Main" })).getAllByRole("link");
  expect(links.map((link) => link.textContent)).toEqual(names);
});

it("marks the current page", async () => {
  await show(shell, "/tracer");
  expect(sidebar().getByRole("link", { name: "Packet tracer" })).toHaveAttribute("aria-current", "page");
  expect(sidebar().getByRole("link", { name: "Dashboard" })).not.toHaveAttribute("aria-current");
});

it.each([
  ["/users", "/users", true],
  ["/users", "/users/3", true],
  ["/users", "/users-x", false],
  ["/", "/", true],
  ["/", "/users", false],
])("item %s at address %s: %s", (path, pathname, active) => {
  expect(isActive({ path }, pathname)).toBe(active);
});

it("opens the drawer, and closes it on navigation", async () => {
  const user = userEvent.setup();
  await show(shell, "/");
  const trigger = screen.getByRole("button", { name: "Open menu" });
  expect(trigger).toHaveAttribute("aria-expanded", "false");
  await user.click(trigger);
  expect(trigger).toHaveAttribute("aria-expanded", "true");
  await user.click(within(screen.getByRole("dialog", { name: "Menu" })).getByRole("link", { name: "Users" }));
  expect(screen.queryByRole("dialog", { name: "Menu" })).not.toBeInTheDocument();
  expect(trigger).toHaveAttribute("aria-expanded", "false");
  expect(screen.getByTestId("address")).toHaveTextContent("/users");
});
