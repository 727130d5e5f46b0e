import { describe, expect, it } from "vitest";
import { buildFrame, checksum, formatHex, type FrameFields, parseHex, toHex } from "../../src/client/dataplane/frame";

/** Ether/Dot1Q/IP/... of Scapy 2.8.0, padded to 60 bytes. */
const SCAPY = {
  tcp4: "0200000000020200000000010800450000280000400040064e9ac0000201c63364019c4001bb00000001000000005002ffff25b00000000000000000",
  udp4vlan: "0200000000020200000000018100002a08004500001c0000400040114e9bc0000201c63364019c4001bb000875ac0000000000000000000000000000",
  icmp4: "02000000000202000000000108004500001c0000400040014eabc0000201c63364010800f7fd00010001000000000000000000000000000000000000",
  tcp6: "02000000000202000000000186dd600000000014064020010db800000000000000000000000120010db80000000000000000000000029c4001bb00000001000000005002ffffb6710000",
  udp6: "02000000000202000000000186dd600000000008114020010db800000000000000000000000120010db80000000000000000000000029c4001bb0008066e",
  icmp6: "02000000000202000000000186dd6000000000083a4020010db800000000000000000000000120010db80000000000000000000000028000244600010001",
};

const fields: FrameFields = {
  version: "4",
  source: "192.0.2.1",
  destination: "198.51.100.1",
  protocol: "tcp",
  sourcePort: "40000",
  destinationPort: "443",
  vlan: "",
};

function built(change: Partial<FrameFields> = {}): number[] {
  const { frame, faults } = buildFrame({ ...fields, ...change });
  if (!frame) throw new Error(JSON.stringify(faults));
  return [...frame];
}

const hex = (change?: Partial<FrameFields>) => toHex(Uint8Array.from(built(change)));

describe("buildFrame", () => {
  it("builds the frame that Scapy builds", () => {
    expect(hex()).toBe(SCAPY.tcp4);
    expect(hex({ protocol: "udp", vlan: "42" })).toBe(SCAPY.udp4vlan);
    expect(hex({ protocol: "icmp" })).toBe(SCAPY.icmp4);
    const six = { version: "6", source: "2001:db8::1", destination: "2001:db8::2" } as const;
    expect(hex({ ...six })).toBe(SCAPY.tcp6);
    expect(hex({ ...six, protocol: "udp" })).toBe(SCAPY.udp6);
    expect(hex({ ...six, protocol: "icmp" })).toBe(SCAPY.icmp6);
  });

  it("never sends a UDP checksum of 0, which would mean that there is none", () => {
    const udp = (sourcePort: string) => built({ protocol: "udp", sourcePort }).slice(40, 42);
    const zero = Array.from({ length: 65536 }, (_, port) => String(port)).find((port) => udp(port).every((byte) => byte === 0xff));
    expect(zero).toBeDefined();
    expect(udp(zero ?? "")).toEqual([0xff, 0xff]);
  });

  it.each<[keyof FrameFields, string]>([
    ["source", "192.0.2"],
    ["source", "2001:db8::1"],
    ["destination", "256.1.1.1"],
    ["destination", "010.0.0.1"],
    ["sourcePort", "65536"],
    ["sourcePort", ""],
    ["destinationPort", "-1"],
    ["destinationPort", "1.5"],
    ["vlan", "4095"],
    ["vlan", "x"],
  ])("names the field that is wrong: %s %j", (name, value) => {
    expect(Object.keys(buildFrame({ ...fields, [name]: value }).faults ?? {})).toEqual([name]);
  });

  it("refuses an IPv6 address with a zone", () => {
    const { faults } = buildFrame({ ...fields, version: "6", source: "fe80::1%eth0", destination: "::1" });
    expect(faults).toEqual({ source: "Expected an IPv6 address such as 2001:db8::1." });
  });

  it("asks for no ports where the protocol has none", () => {
    expect(buildFrame({ ...fields, protocol: "icmp", sourcePort: "x", destinationPort: "" }).faults).toBeUndefined();
  });
});

it("computes the checksum of RFC 1071's example", () => {
  expect(checksum([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7])).toBe(~0xddf2 & 0xffff);
});

describe("parseHex", () => {
  const plain = "020000000002020000000001080045000014";
  it.each([
    ["plain", plain],
    ["upper case and spaces", "02 00 00 00 00 02 02 00 00 00 00 01 08 00 45 00 00 14".toUpperCase()],
    ["colons", "02:00:00:00:00:02:02:00:00:00:00:01:08:00:45:00:00:14"],
    ["0x before bytes", "0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x02, 0x00,0x00,0x00,0x00,0x01,0x08,0x00,0x45,0x00,0x00,0x14"],
    ["tcpdump -xx", "\t0x0000:  0200 0000 0002 0200 0000 0001 0800 4500\n\t0x0010:  0014\n"],
    ["what this page shows", formatHex(plain)],
  ])("reads %s", (_form, text) => {
    expect(parseHex(text)).toEqual({ hex: plain });
  });

  it.each([
    ["", "0 bytes"],
    ["0200", "2 bytes"],
    [`${plain}0`, "lacks a digit"],
    [`${plain}zz`, '"z"'],
    ["00".repeat(65536), "limit is 65535"],
  ])("says what is wrong with %.20j", (text, reason) => {
    expect(parseHex(text).fault).toContain(reason);
  });
});
