import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { screen } from "@testing-library/react";
import { expect, it, onTestFinished, vi } from "vitest";
import type { DataplaneStatus, Problem } from "../../src/client/api/types";
import { RateRecorder } from "../../src/client/dataplane/rates";
import DashboardPage from "../../src/client/pages/DashboardPage";
import { events, show } from "./pages";

// jsdom has no canvas to draw on.
vi.mock("../../src/client/dataplane/Chart", () => ({ Chart: () => null }));

const attachment = { name: "lab0", mode: "native", program: { id: 7, name: "tripod_xdp", tag: "0011223344556677" } };

/** Shows the dashboard of a host with one interface and the given problems. */
async function dashboard(problems: Problem[], status = "serving") {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const view = await show(
    <QueryClientProvider client={client}>
      <DashboardPage recorder={new RateRecorder()} />
    </QueryClientProvider>,
    "/",
    {},
    {
      "/dataplane/status": { reachable: true, status, interfaces: [attachment], problems } satisfies DataplaneStatus,
      "/events?begin=oldest": events({ timestamp: "2026-01-01T00:00:00Z", interfaces: [{ ...attachment, counters: [] }], problems }),
    },
  );
  await screen.findByTestId("program-lab0");
  return view;
}

it("says nothing where all is well", async () => {
  await dashboard([]);
  expect(screen.queryByRole("alert")).not.toBeInTheDocument();
  expect(screen.queryByRole("status")).not.toBeInTheDocument();
});

it("names each problem of the data plane in words, beside what works", async () => {
  await dashboard(
    [
      { interface: "lab1", state: "damaged", problem: "pin counters is gone: attach the program again" },
      { interface: "lab2", state: "detached", problem: "attach it again" },
      { interface: "lab3", state: "new_state", problem: "of a newer release" },
      { interface: null, state: "object_unusable", problem: "no such file" },
      { interface: "lab4", state: "absent", problem: "no interface lab4" },
    ],
    "not_serving",
  );
  const alert = screen.getByRole("alert");
  expect(alert).toHaveTextContent("lab1 runs its program, but its pins are damaged: pin counters is gone: attach the program again");
  expect(alert).toHaveTextContent("lab2 runs no program: attach it again");
  expect(alert).toHaveTextContent("lab3 is new_state: of a newer release");
  expect(alert).toHaveTextContent("The XDP object cannot be used, so frames cannot be traced and reasons may lack their names: no such file");
  // One that is unplugged is worth knowing and no alarm.
  expect(alert).not.toHaveTextContent("lab4");
  expect(screen.getByRole("status")).toHaveTextContent("lab4 is not there: no interface lab4");
  expect(screen.getByTestId("dataplane-status")).toHaveTextContent("not serving");
  expect(screen.getByTestId("program-lab0")).toHaveTextContent("tripod_xdp");
});

it("reads no events while nobody looks at it, and goes on behind the last one then", async () => {
  const { api } = await dashboard([]);
  const looked = vi.spyOn(document, "visibilityState", "get");
  onTestFinished(() => looked.mockRestore());
  const opened = () => api.count("/events?begin=oldest");
  const turn = (state: DocumentVisibilityState) => {
    looked.mockReturnValue(state);
    document.dispatchEvent(new Event("visibilitychange"));
  };
  await expect.poll(opened).toBeGreaterThan(0);
  turn("hidden");
  const before = opened();
  await new Promise((done) => setTimeout(done, 1_500));
  expect(opened()).toBe(before);
  turn("visible");
  await expect.poll(opened).toBe(before + 1);
});
