import { BlockList, isIP } from "node:net";

/** Whether the proxy at an address is believed in what it says of a client. */
export type Trust = (address: string) => boolean;

/** Addresses whose trust is kept in mind. */
const KNOWN = 1_024;

/** An address as people write it: IPv4 as such, though the listening socket is an IPv6 one and sees it mapped. */
export const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/, "");

/**
 * Reads `network,network,!exception`, as the API's variable of the same name.
 *
 * @throws Error One of them is no address and no network; the message names it.
 */
export function parseTrust(text: string): Trust {
  const trusted = new BlockList();
  const exceptions = new BlockList();
  for (const word of text.split(",").map((each) => each.trim())) {
    if (!word) continue;
    const [, not, address = "", bits] = /^(!?)([^/]+)(?:\/(\d{1,3}))?$/.exec(word) ?? [];
    const version = isIP(address);
    const most = version === 4 ? 32 : 128;
    if (!version || Number(bits ?? most) > most) throw new Error(`"${word}" is no address and no network`);
    (not ? exceptions : trusted).addSubnet(address, Number(bits ?? most), version === 4 ? "ipv4" : "ipv6");
  }
  // The same few proxies bring every request, and a look into the lists takes longer than all else that is said of a client.
  const known = new Map<string, boolean>();
  return (address) => {
    const before = known.get(address);
    if (before !== undefined) return before;
    const bare = plain(address);
    const version = isIP(bare);
    const within = (list: BlockList) => version !== 0 && list.check(bare, version === 4 ? "ipv4" : "ipv6");
    const believed = within(trusted) && !within(exceptions);
    if (known.size >= KNOWN) known.clear();
    known.set(address, believed);
    return believed;
  };
}
