import "@fontsource-variable/inter/wght.css";
import "./main.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter } from "react-router";
import { createApi } from "./api/client";
import { App } from "./App";
import { ErrorBoundary } from "./components/ErrorBoundary";
import { SessionContext } from "./session/context";
import { Session } from "./session/session";

const session = new Session();
void session.resume();

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");
createRoot(root).render(
  <StrictMode>
    <SessionContext value={{ session, api: createApi(session) }}>
      <ErrorBoundary>
        <BrowserRouter>
          <App />
        </BrowserRouter>
      </ErrorBoundary>
    </SessionContext>
  </StrictMode>,
);
