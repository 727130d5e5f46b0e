/** Settings, read once from the environment. */

import { parseTrust, type Trust } from "./trust";

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;

export interface Config {
  /** Port to listen on, all addresses. */
  httpPort: number;
  /** Origin of the REST API; requests below /api go there as they are. */
  apiUrl: URL;
  logLevel: (typeof LEVELS)[number];
  /** Which proxies in front of this server are believed in their X-Forwarded-*. */
  trustedProxies: Trust;
}

/** The server cannot start as configured; the message lists every fault. */
export class ConfigError extends Error {}

export function load(environment: NodeJS.ProcessEnv): Config {
  const faults: string[] = [];

  function number(name: string, preset: number, low: number, high: number): number {
    const text = environment[name] ?? String(preset);
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= low && value <= high) return value;
    faults.push(`${name} is "${text}", expected a whole number from ${low} to ${high}`);
    return preset;
  }

  function origin(name: string, preset: string): URL {
    const text = environment[name] ?? preset;
    const url = URL.canParse(text) ? new URL(text) : null;
    if (url && /^https?:$/.test(url.protocol) && url.pathname === "/" && !url.search && !url.username) return url;
    faults.push(`${name} is not an http or https origin such as ${preset}`);
    return new URL(preset);
  }

  function trust(name: string): Trust {
    try {
      return parseTrust(environment[name] ?? "");
    } catch (error) {
      faults.push(`${name}: ${(error as Error).message}`);
      return () => false;
    }
  }

  // WARNING is Python's word for it; the other services take it.
  const level = (environment.LOG_LEVEL ?? "info").toLowerCase().replace(/^warning$/, "warn");
  const logLevel = LEVELS.find((known) => known === level);
  if (!logLevel) faults.push(`LOG_LEVEL is "${level}", expected one of ${LEVELS.join(", ")}`);

  const config: Config = {
    httpPort: number("HTTP_PORT", 3000, 1, 65535),
    apiUrl: origin("API_URL", "http://flask-backend:5000"),
    logLevel: logLevel ?? "info",
    trustedProxies: trust("TRUSTED_PROXIES"),
  };
  if (faults.length) throw new ConfigError(faults.join("; "));
  return config;
}
