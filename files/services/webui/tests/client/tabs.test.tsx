import { screen } from "@testing-library/react";
import { userEvent } from "@testing-library/user-event";
import { afterEach, expect, it, vi } from "vitest";
import { Tabs } from "../../src/client/components/Tabs";
import { show } from "./pages";

afterEach(() => vi.unstubAllGlobals());

const tabs = (
  <Tabs
    label="Ways"
    tabs={[
      { id: "one", label: "One", panel: <input aria-label="Text" /> },
      { id: "two", label: "Two", panel: <p>Second</p> },
      { id: "three", label: "Three", panel: <p>Third</p> },
    ]}
  />
);

it("moves with the arrow keys, Home and End, and writes the choice to the address", async () => {
  const user = userEvent.setup();
  await show(tabs, "/?page=2");
  await user.tab();
  expect(screen.getByRole("tab", { name: "One", selected: true })).toHaveFocus();
  for (const [key, name, id] of [
    ["{ArrowRight}", "Two", "two"],
    ["{End}", "Three", "three"],
    ["{ArrowRight}", "One", "one"],
    ["{ArrowLeft}", "Three", "three"],
    ["{Home}", "One", "one"],
  ] as const) {
    await user.keyboard(key);
    // The router renders in its own time.
    const tab = await screen.findByRole("tab", { name, selected: true });
    expect(tab).toHaveFocus();
    expect(screen.getByTestId("address")).toHaveTextContent(`/?page=2&tab=${id}`);
    expect(screen.getByRole("tabpanel", { name })).toHaveAttribute("id", tab.getAttribute("aria-controls"));
  }
});

it("has one tab stop: the chosen tab, then its panel", async () => {
  const user = userEvent.setup();
  await show(tabs, "/?tab=two");
  await user.tab();
  expect(screen.getByRole("tab", { name: "Two" })).toHaveFocus();
  await user.tab();
  expect(screen.getByRole("tabpanel", { name: "Two" })).toHaveFocus();
});

it("keeps what was typed in a panel that is not shown", async () => {
  const user = userEvent.setup();
  await show(tabs, "/");
  await user.type(screen.getByLabelText("Text"), "kept");
  await user.click(screen.getByRole("tab", { name: "Two" }));
  await user.click(screen.getByRole("tab", { name: "One" }));
  expect(screen.getByLabelText("Text")).toHaveValue("kept");
});

it("shows the first tab where the address names none that exists", async () => {
  await show(tabs, "/?tab=nine");
  expect(screen.getByRole("tab", { name: "One" })).toHaveAttribute("aria-selected", "true");
});
