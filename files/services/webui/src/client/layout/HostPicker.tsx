import { Select } from "../components/Field";
import type { Hosts } from "../session/useHosts";

/** Which host of the data plane the pages are about; nothing where there is one only. */
export function HostPicker({ names, host, choose }: Hosts) {
  if (names.length === 0) return null;
  return <Select label="Host" className="mb-6 max-w-xs" value={host} options={names.map((name) => [name, name] as const)} onSelect={choose} />;
}
