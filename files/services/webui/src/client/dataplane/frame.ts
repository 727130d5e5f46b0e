import ipaddr from "ipaddr.js";

export const PROTOCOLS = ["tcp", "udp", "icmp"] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** A frame as a person describes it; every value is text as typed. */
export interface FrameFields {
  version: "4" | "6";
  source: string;
  destination: string;
  protocol: Protocol;
  sourcePort: string;
  destinationPort: string;
  /** VLAN identifier; empty for an untagged frame. */
  vlan: string;
}

/** What is wrong, by field. */
export type Faults = Partial<Record<keyof FrameFields, string>>;

export type Built = { frame: Uint8Array; faults?: never } | { frame?: never; faults: Faults };

const ETHERTYPE = { 4: 0x0800, 6: 0x86dd, vlan: 0x8100 } as const;
const TCP_SYN = 0x5002;
const MINIMUM = 60;

/** Locally administered addresses; the program looks at neither. */
const MACS = [0x02, 0, 0, 0, 0, 0x02, 0x02, 0, 0, 0, 0, 0x01];

const word = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff];

/** Builds an Ethernet frame with right lengths and checksums, padded to Ethernet's minimum. */
export function buildFrame(fields: FrameFields): Built {
  const faults: Faults = {};
  const source = address(fields.source, fields.version);
  const destination = address(fields.destination, fields.version);
  const hasPorts = fields.protocol !== "icmp";
  const sourcePort = hasPorts ? integer(fields.sourcePort, 0, 65535) : 0;
  const destinationPort = hasPorts ? integer(fields.destinationPort, 0, 65535) : 0;
  const vlan = fields.vlan.trim() === "" ? undefined : integer(fields.vlan, 0, 4094);

  const expected = fields.version === "4" ? "an IPv4 address such as 192.0.2.1" : "an IPv6 address such as 2001:db8::1";
  if (!source) faults.source = `Expected ${expected}.`;
  if (!destination) faults.destination = `Expected ${expected}.`;
  if (sourcePort === null) faults.sourcePort = "Expected a port from 0 to 65535.";
  if (destinationPort === null) faults.destinationPort = "Expected a port from 0 to 65535.";
  if (vlan === null) faults.vlan = "Expected a VLAN from 0 to 4094, or nothing.";
  if (!source || !destination || sourcePort === null || destinationPort === null || vlan === null) return { faults };

  const payload = transport(fields, source, destination, sourcePort, destinationPort);
  const packet = fields.version === "4" ? ipv4(fields, source, destination, payload) : ipv6(fields, source, destination, payload);
  const tag = vlan === undefined ? [] : [...word(ETHERTYPE.vlan), ...word(vlan)];
  const bytes = [...MACS, ...tag, ...word(ETHERTYPE[fields.version]), ...packet];
  const frame = new Uint8Array(Math.max(bytes.length, MINIMUM));
  frame.set(bytes);
  return { frame };
}

function protocolNumber({ protocol, version }: FrameFields): number {
  if (protocol === "icmp") return version === "4" ? 1 : 58;
  return protocol === "tcp" ? 6 : 17;
}

function transport(fields: FrameFields, source: number[], destination: number[], sport: number, dport: number): number[] {
  const ports = [...word(sport), ...word(dport)];
  let segment: number[];
  let at: number;
  if (fields.protocol === "tcp") {
    segment = [...ports, 0, 0, 0, 1, 0, 0, 0, 0, ...word(TCP_SYN), ...word(0xffff), 0, 0, 0, 0];
    at = 16;
  } else if (fields.protocol === "udp") {
    segment = [...ports, ...word(8), 0, 0];
    at = 6;
  } else {
    // Echo request, identifier and sequence number 1.
    segment = [fields.version === "4" ? 8 : 128, 0, 0, 0, 0, 1, 0, 1];
    at = 2;
  }
  // ICMP alone has no pseudo header; ICMPv6 does.
  const bare = fields.protocol === "icmp" && fields.version === "4";
  const pseudo = bare ? [] : [...source, ...destination, ...word(protocolNumber(fields)), ...word(segment.length)];
  const sum = checksum([...pseudo, ...segment]);
  // For UDP, 0 means that there is none (RFC 768).
  segment.splice(at, 2, ...word(fields.protocol === "udp" && sum === 0 ? 0xffff : sum));
  return segment;
}

function ipv4(fields: FrameFields, source: number[], destination: number[], payload: number[]): number[] {
  const header = [0x45, 0, ...word(20 + payload.length), 0, 0, 0x40, 0, 64, protocolNumber(fields), 0, 0, ...source, ...destination];
  header.splice(10, 2, ...word(checksum(header)));
  return [...header, ...payload];
}

function ipv6(fields: FrameFields, source: number[], destination: number[], payload: number[]): number[] {
  return [0x60, 0, 0, 0, ...word(payload.length), protocolNumber(fields), 64, ...source, ...destination, ...payload];
}

/** The Internet checksum (RFC 1071) of an even number of bytes. */
export function checksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function address(text: string, version: "4" | "6"): number[] | null {
  const trimmed = text.trim();
  if (version === "4") {
    return ipaddr.IPv4.isValidFourPartDecimal(trimmed) ? ipaddr.IPv4.parse(trimmed).toByteArray() : null;
  }
  // A zone names an interface of this machine; it has no place in a packet.
  return ipaddr.IPv6.isValid(trimmed) && !trimmed.includes("%") ? ipaddr.IPv6.parse(trimmed).toByteArray() : null;
}

function integer(text: string, low: number, high: number): number | null {
  const value = Number(text.trim());
  return /^\d+$/.test(text.trim()) && value >= low && value <= high ? value : null;
}

export const toHex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Groups of two bytes, sixteen to a line, as tcpdump prints them. */
export const formatHex = (hex: string): string =>
  (hex.match(/.{1,32}/g) ?? []).map((line) => (line.match(/.{1,4}/g) ?? []).join(" ")).join("\n");

const FEWEST = 14;
const MOST = 65535;

/** Reads hex as tools print it: spaces, colons, 0x, and tcpdump's offsets are skipped. */
export function parseHex(text: string): { hex: string; fault?: never } | { hex?: never; fault: string } {
  const hex = text
    .replace(/^\s*(0x)?[0-9a-f]{4,8}:\s/gim, "")
    .replace(/0x|[\s:,-]/gi, "")
    .toLowerCase();
  const odd = /[^0-9a-f]/.exec(hex);
  if (odd) return { fault: `"${odd[0]}" is no hexadecimal digit.` };
  if (hex.length % 2) return { fault: "The last byte lacks a digit: expected pairs of hexadecimal digits." };
  const bytes = hex.length / 2;
  if (bytes < FEWEST) return { fault: `${bytes} bytes are no frame: an Ethernet header alone has ${FEWEST}.` };
  if (bytes > MOST) return { fault: `${bytes} bytes are too many; the limit is ${MOST}.` };
  return { hex };
}
