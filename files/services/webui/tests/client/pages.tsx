import { render } from "@testing-library/react";
import type { ReactNode } from "react";
import { MemoryRouter, useLocation } from "react-router";
import { onTestFinished } from "vitest";
import { createApi } from "../../src/client/api/client";
import type { DataplaneStats, User } from "../../src/client/api/types";
import { SessionContext } from "../../src/client/session/context";
import { Session } from "../../src/client/session/session";
import { RotatingApi, Told } from "./rotatingApi";

function Address() {
  const { pathname, search } = useLocation();
  return <p data-testid="address">{pathname + search}</p>;
}

/** A stream that sends readings, and ends. */
export function events(...readings: DataplaneStats[]): Told {
  const sent = readings.map((each, index) => `id: p-${index}\nevent: reading\ndata: ${JSON.stringify(each)}\n\n`);
  return new Told(`${sent.join("")}: \n\n`, { headers: { "content-type": "text/event-stream" } });
}

/** Shows something at an address, to somebody who is signed in unless `user` is null, with the API's answers by path. */
export async function show(element: ReactNode, address: string, user: Partial<User> | null = {}, answers: Record<string, unknown> = {}) {
  const api = new RotatingApi();
  api.answers = answers;
  api.user = { ...api.user, ...user };
  const session = new Session();
  onTestFinished(() => session.close());
  if (user) await session.login("ada@example.test", "right");
  else await session.resume();
  const view = render(
    <SessionContext value={{ session, api: createApi(session) }}>
      <MemoryRouter initialEntries={[address]}>
        {element}
        <Address />
      </MemoryRouter>
    </SessionContext>,
  );
  return { ...view, api, session };
}
