import { Component, type ReactNode } from "react";
import { explain } from "../api/http";
import { Button } from "./Button";
import { Alert } from "./feedback";
import { Page } from "./Page";

/** Shows what went wrong in place of what failed to render, and a way out; without it, nothing at all would be shown. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { fault: unknown }> {
  override state: { fault: unknown } = { fault: null };

  static getDerivedStateFromError(fault: unknown): { fault: unknown } {
    return { fault: fault ?? new Error("unknown") };
  }

  override render(): ReactNode {
    if (this.state.fault === null) return this.props.children;
    return (
      <Page title="This page failed" lead="This concerns the web interface alone; the data plane goes on.">
        <Alert>{explain(this.state.fault)}</Alert>
        <Button className="justify-self-start" onClick={() => location.reload()}>
          Reload the page
        </Button>
      </Page>
    );
  }
}
