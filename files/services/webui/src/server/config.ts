/** Settings, read once from the environment and the files that it names. */

import { readFileSync } from "node:fs";
import path from "node:path";
import { parseTrust, type Trust } from "./trust";

/** As the other services have it. */
const AUTHORITY = "ca.crt";
const SECRET_BYTES = 32;

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;

export interface Config {
  /** Port to listen on, all addresses. */
  httpPort: number;
  /** Origin of the REST API; requests below /api go there as they are. */
  apiUrl: URL;
  logLevel: (typeof LEVELS)[number];
  /** Which proxies in front of this server are believed in their X-Forwarded-*. */
  trustedProxies: Trust;
  /** File of the certificates that the API's must be issued by; without it those of Node. */
  authority?: string;
  /** What the front on this host brings along, to be believed like those. */
  frontSecret?: string;
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

  function secret(name: string): string | undefined {
    const file = environment[name];
    if (!file) return undefined;
    try {
      const value = readFileSync(file, "utf8").replace(/\n$/, "");
      if (value.length < SECRET_BYTES) faults.push(`${name}: ${file} holds ${value.length} characters, at least ${SECRET_BYTES} are needed`);
      return value;
    } catch (error) {
      faults.push(`${name}: cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? "unknown"}`);
      return undefined;
    }
  }

  // WARNING is Python's word for it; the other services take it.
  const level = (environment.LOG_LEVEL ?? "info").toLowerCase().replace(/^warning$/, "warn");
  const logLevel = LEVELS.find((known) => known === level);
  if (!logLevel) faults.push(`LOG_LEVEL is "${level}", expected one of ${LEVELS.join(", ")}`);

  const frontSecret = secret("FRONT_SECRET_FILE");
  const config: Config = {
    httpPort: number("HTTP_PORT", 3000, 1, 65535),
    apiUrl: origin("API_URL", "http://flask-backend:5000"),
    logLevel: logLevel ?? "info",
    trustedProxies: trust("TRUSTED_PROXIES"),
    ...(environment.TLS_DIRECTORY ? { authority: path.join(environment.TLS_DIRECTORY, AUTHORITY) } : {}),
    ...(frontSecret ? { frontSecret } : {}),
  };
  if (faults.length) throw new ConfigError(faults.join("; "));
  return config;
}
