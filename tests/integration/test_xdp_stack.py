"""The program against the stack behind it: what the stack would deliver from a blocked source never reaches a socket.

Frames are built by a grammar, the same for a blocked source and for one that is not. Those of the latter show what the
stack delivers, so that a test whose frames are all refused by the stack itself would be red.
"""

from __future__ import annotations

import os
import random
import select
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from ansible_collections.tripod.baremetal.plugins.module_utils._core.converge import converge
from ansible_collections.tripod.baremetal.plugins.module_utils._core.system import Host
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.policy_map import Policy, XdpMap, parse_entries
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.program import XdpProgram
from ansible_collections.tripod.baremetal.plugins.module_utils._xdp.request import Desired

from tests.integration import frames as f
from tests.integration import lab

# TRIPOD_FRAMES=100000 tries longer.
FRAMES = int(os.environ.get("TRIPOD_FRAMES", "1500"))
SEED = 20261128
PORT = 4001
VLAN = 5  # of the device on the NIC whose frames the stack delivers too
OWN = {4: "198.51.100.1", 6: "2001:db8::1"}
BEHIND_VLAN = {4: "198.51.101.1", 6: "2001:db8:5::1"}
BLOCKED = {4: "203.0.113.66", 6: "2001:db8:bad::66"}
OTHER = {4: "192.0.2.77", 6: "2001:db8:77::77"}
REACH = 4092  # tags that end within the 0x3fff bytes which the parser follows
# With which a frame ends that is sent behind all others, so that they were all seen to when it has arrived.
FENCE = {4: "192.0.2.1", 6: "2001:db8:77::1"}
SILENCE = 30.0  # seconds in which a fence has to arrive, on a busy machine too
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
ICMP_ECHO = {4: (f.ICMP, 8), 6: (f.ICMPV6, 128)}


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data + bytes(len(data) % 2)) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def address(text: str) -> bytes:
    """Return an address in network byte order."""
    return socket.inet_pton(FAMILY[6 if ":" in text else 4], text)


def datagram(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """Return a UDP datagram or an ICMP echo request with a right checksum."""
    version = 6 if ":" in source else 4
    size = 8 + len(payload)
    if protocol == f.UDP:
        header, place = struct.pack("!HHHH", 4000, PORT, size, 0), 6
        pseudo = address(source) + address(destination) + struct.pack("!LHBB", size, 0, 0, protocol)
    else:
        header, place = struct.pack("!BBHHH", ICMP_ECHO[version][1], 0, 0, 7, 1), 2
        pseudo = address(source) + address(destination) + struct.pack("!LL", size, protocol) if version == 6 else b""
    whole = bytearray(header + payload)
    whole[place : place + 2] = struct.pack("!H", checksum(pseudo + whole) or 0xFFFF)
    return bytes(whole)


@dataclass
class Grammar:
    """Makes frames that a stack may deliver.

    Args:
        dice: Decides.
        nic: Hardware address to send to.
        vlan: Whether some are for a VLAN device on the NIC.
    """

    dice: random.Random
    nic: bytes
    vlan: bool = False

    def frames(self, source: str) -> list[bytes]:
        """Return one frame, or the fragments of one packet, each with tags of its own."""
        version = 6 if ":" in source else 4
        vlan = self.vlan and self.dice.random() < 0.5
        destination = (BEHIND_VLAN if vlan else OWN)[version]
        protocol = self.dice.choice((f.UDP, f.UDP, ICMP_ECHO[version][0]))
        content = datagram(source, destination, protocol, self.dice.randbytes(self.dice.choice((0, 1, 18, 64, 700))))
        packets = (self.ipv4 if version == 4 else self.ipv6)(source, destination, protocol, content)
        return [self.ethernet(f.IPV4 if version == 4 else f.IPV6, packet, vlan) for packet in packets]

    def ethernet(self, kind: int, packet: bytes, vlan: bool) -> bytes:
        """Put priority tags before a packet, and the tag of the VLAN device among the first or last of them."""
        count = self.dice.choice((0, 0, 1, 2, 3, 3, 4, 5, 8, 13, 40, 120))
        tags = [(self.dice.choice((f.VLAN, f.QINQ)), self.dice.randrange(8) << 13) for _tag in range(count)]
        if vlan:
            # A device takes its own tag from any depth, as what is before it has no number.
            place = self.dice.choice((0, len(tags)))
            tags.insert(place, (f.VLAN, self.dice.randrange(8) << 13 | VLAN))
        kinds = [*(one for one, _control in tags), kind]
        header = self.nic + b"\x02\0\0\0\0\x01" + struct.pack("!H", kinds[0])
        for (_kind, control), behind in zip(tags, kinds[1:], strict=True):
            header += struct.pack("!HH", control, behind)
        return header + packet + bytes(self.dice.choice((0, 0, 0, 6, 18)))

    def ipv4(self, source: str, destination: str, protocol: int, content: bytes) -> Iterator[bytes]:
        """Return an IPv4 packet with options, perhaps in fragments."""
        known = (b"\x01", b"\x07\x07\x04\0\0\0\0", b"\x94\x04\0\0")  # no operation, record route, router alert
        options = b"".join(self.dice.choices(known, k=self.dice.randrange(4)))
        options += bytes(-len(options) % 4)
        number = self.dice.randrange(1, 1 << 16)
        for offset, part, more in self.parts(content):
            words = 5 + len(options) // 4
            fields = (words | 0x40, self.dice.choice((0, 0xB8)), words * 4 + len(part), number)
            fragment = (0x2000 if more else 0) | offset // 8
            header = bytearray(
                struct.pack("!BBHHHBBH", *fields, fragment, self.dice.choice((1, 64, 255)), protocol, 0)
                + address(source)
                + address(destination)
                + options
            )
            header[10:12] = struct.pack("!H", checksum(header))
            yield bytes(header) + part

    def ipv6(self, source: str, destination: str, protocol: int, content: bytes) -> Iterator[bytes]:
        """Return an IPv6 packet with extension headers, perhaps in fragments."""
        number = self.dice.randrange(1 << 32)
        for offset, part, more in self.parts(content):
            fragmented = offset or more
            headers = [self.padding() for _header in range(self.dice.choice((0, 0, 1, 2, 7, 9, 12)))]
            kinds = [f.DESTINATION] * len(headers)
            if self.dice.random() < 0.3:
                headers.insert(0, self.padding())
                kinds.insert(0, f.HOP_BY_HOP)
            if fragmented:
                headers.append(struct.pack("!BHI", 0, offset | more, number))
                kinds.append(f.FRAGMENT)
            chain, following = part, protocol
            for kind, header in zip(reversed(kinds), reversed(headers), strict=True):
                chain, following = bytes((following,)) + header + chain, kind
            first = struct.pack("!IHBB", 6 << 28 | self.dice.randrange(1 << 20), len(chain), following, 64)
            yield first + address(source) + address(destination) + chain

    def padding(self) -> bytes:
        """Return an extension header without its first byte that holds nothing but padding (PadN)."""
        units = self.dice.choice((0, 0, 1, 3))
        return bytes((units, 1, 4 + 8 * units)) + bytes(4 + 8 * units)

    def parts(self, content: bytes) -> list[tuple[int, bytes, bool]]:
        """Return offset, bytes and whether more follows, of one to three fragments."""
        if len(content) < 32 or self.dice.random() < 0.7:
            return [(0, content, False)]
        cuts = sorted({0, *(8 * self.dice.randrange(1, len(content) // 8) for _cut in range(self.dice.choice((1, 2))))})
        ends = [*cuts[1:], len(content)]
        return [(begin, content[begin:end], end < len(content)) for begin, end in zip(cuts, ends, strict=True)]


def test_the_grammar_makes_what_it_says():
    made = [frame for _packet in range(20) for frame in grammar(SEED).frames(OTHER[4])]
    assert made
    assert all(frame[:6] == b"\x02" * 6 for frame in made)
    assert made[: len(made) // 20] == grammar(SEED).frames(OTHER[4]), "the same seed makes the same frames"


def grammar(seed: int, nic: bytes = b"\x02" * 6, vlan: bool = False) -> Grammar:
    return Grammar(random.Random(seed), nic, vlan)


class Listeners:
    """Every socket of this host that could be given a packet: UDP, and raw ones of each protocol."""

    def __init__(self, held: ExitStack) -> None:
        self.sockets = []
        for family in FAMILY.values():
            udp = held.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            if family == socket.AF_INET6:
                udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            udp.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", PORT))
            self.sockets.append(udp)
            for protocol in (f.UDP, f.ICMP if family == socket.AF_INET else f.ICMPV6):
                self.sockets.append(held.enter_context(socket.socket(family, socket.SOCK_RAW, protocol)))
        for one in self.sockets:
            one.setblocking(False)

    def heard(self, seconds: float = 0.0) -> list[str]:
        """Return the source of everything that has arrived."""
        sources = []
        ready, _writable, _odd = select.select(self.sockets, [], [], seconds)
        for one in ready:
            while True:
                try:
                    sources.append(one.recvfrom(4096)[1][0])
                except BlockingIOError:
                    break
        return sources


class Stack:
    """A host whose NIC filters, and the far end of its cable."""

    def __init__(self, cable: lab.Cable, held: ExitStack) -> None:
        self._sender = held.enter_context(cable.sender())
        self._listeners = Listeners(held)
        self.nic = bytes.fromhex(lab.ip("link", "show", "dev", cable.nic)[0]["address"].replace(":", ""))

    def deliver(self, frames: list[bytes]) -> list[str]:
        """Send frames and return the source of whatever reached a socket."""
        heard = []
        for begin in range(0, len(frames), 64):
            lab.put(self._sender, *frames[begin : begin + 64])
            heard += self._fence()
        return heard

    def frame(self, kind: int, content: bytes) -> bytes:
        """Return an Ethernet frame to the NIC."""
        return self.nic + b"\x02\0\0\0\0\x01" + struct.pack("!H", kind) + content

    def tagged(self, kinds: list[int], source: str) -> bytes:
        """Return a UDP datagram behind tags of these kinds, outermost first, without a number."""
        version = 6 if ":" in source else 4
        content = datagram(source, OWN[version], f.UDP, b"")
        packet = next((plain4 if version == 4 else plain6)(source, OWN[version], content))
        first, *behind = [*kinds, f.IPV4 if version == 4 else f.IPV6]
        return self.frame(first, b"".join(struct.pack("!HH", 0, kind) for kind in behind) + packet)

    def _fence(self) -> list[str]:
        heard: list[str] = []
        for version, source in FENCE.items():
            content = datagram(source, OWN[version], f.UDP, b"fence")
            packet = next((plain4 if version == 4 else plain6)(source, OWN[version], content))
            kind = struct.pack("!H", f.IPV4 if version == 4 else f.IPV6)
            self._sender.send(self.nic + b"\x02\0\0\0\0\x01" + kind + packet)
        waiting = 2 * len(FENCE)  # a datagram's own socket and a raw one
        while waiting > 0:
            news = self._listeners.heard(SILENCE)
            assert news, "the fence did not arrive: the stack delivers nothing"
            waiting -= sum(source in FENCE.values() for source in news)
            heard += [source for source in news if source not in FENCE.values()]
        return heard


class Plain(random.Random):
    """Dice that always take the first: a packet without anything odd."""

    def random(self) -> float:
        return 1.0

    def choice(self, seq):
        return seq[0]

    def randrange(self, start, stop=None, step=1):
        return 0 if stop is None else start


def plain4(source: str, destination: str, content: bytes) -> Iterator[bytes]:
    return Grammar(Plain(), b"").ipv4(source, destination, f.UDP, content)


def plain6(source: str, destination: str, content: bytes) -> Iterator[bytes]:
    return Grammar(Plain(), b"").ipv6(source, destination, f.UDP, content)


@contextmanager
def host(cable: lab.Cable, vlan: bool = False) -> Iterator[Stack]:
    """Give the NIC, and a VLAN device on it, addresses, and let any source be answered over them."""
    for directory in ("all", "default", cable.nic):
        write(f"/proc/sys/net/ipv4/conf/{directory}/rp_filter", "0")
        write(f"/proc/sys/net/ipv6/conf/{directory}/accept_dad", "0")
    lab.ip("link", "set", "lo", "up")
    devices = {cable.nic: OWN}
    if vlan:
        device = f"{cable.nic}.{VLAN}"
        lab.ip("link", "add", "link", cable.nic, "name", device, "type", "vlan", "id", str(VLAN))
        write(f"/proc/sys/net/ipv4/conf/{device}/rp_filter", "0")
        lab.ip("link", "set", device, "up")
        devices[device] = BEHIND_VLAN
    for name, own in devices.items():
        lab.ip("addr", "add", f"{own[4]}/24", "dev", name)
        lab.ip("addr", "add", f"{own[6]}/64", "dev", name, "nodad")
    lab.ip("route", "add", "default", "dev", cable.nic)
    lab.ip("-6", "route", "add", "default", "dev", cable.nic)
    with ExitStack() as held:
        yield Stack(cable, held)


def write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


@pytest.fixture
def attach(cable, xdp_object, pin_root, tmp_path) -> Callable[[str], None]:
    def run(mode: str) -> None:
        desired = Desired(
            cable.nic, object=str(xdp_object), pin_root=str(pin_root), state_directory=str(tmp_path), mode=mode
        )
        converge(XdpProgram(desired), desired, Host())
        entries = [{"prefix": source, "action": "drop"} for source in BLOCKED.values()]
        policy = Policy(
            cable.nic, entries=parse_entries(entries), pin_root=str(pin_root), state_directory=str(tmp_path)
        )
        converge(XdpMap(policy), policy, Host())

    return run


@pytest.mark.parametrize("mode", ["native", "generic"])
@pytest.mark.parametrize("version", [4, 6])
def test_nothing_of_a_blocked_source_reaches_a_socket(cable, attach, mode, version):
    attach(mode)
    with host(cable) as stack:
        judge(stack, version)


@pytest.mark.parametrize("version", [4, 6])
def test_nothing_of_a_blocked_source_reaches_a_socket_behind_a_vlan_device(cable, attach, version):
    attach("native")
    try:
        lab.ip("link", "add", "link", cable.nic, "name", "probe", "type", "vlan", "id", "9")
    except subprocess.CalledProcessError:
        pytest.skip("this kernel has no VLAN devices (CONFIG_VLAN_8021Q)")
    with host(cable, vlan=True) as stack:
        judge(stack, version, vlan=True)


def judge(stack: Stack, version: int, vlan: bool = False) -> None:
    """Send the same frames from a blocked source and from another one."""
    heard = {}
    for source in (BLOCKED[version], OTHER[version]):
        maker = grammar(SEED + version, stack.nic, vlan)
        heard[source] = stack.deliver([frame for _packet in range(FRAMES) for frame in maker.frames(source)])
    assert heard[BLOCKED[version]] == [], f"{len(heard[BLOCKED[version]])} packets got through"
    # Most of what the grammar makes is what a stack delivers, to one socket or two.
    assert set(heard[OTHER[version]]) == {OTHER[version]}
    assert len(heard[OTHER[version]]) > FRAMES / 2


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize(
    ("mode", "tags"),
    [
        *(("native", tags) for tags in (1, 2, 3, 5, 40, 350)),
        # In generic mode the MTU is not bound to a page: the parser's own reach, its ends, and all that a frame holds.
        *(("generic", tags) for tags in (3, 4092, 4093, 4097, 16200)),
    ],
)
def test_the_stack_delivers_behind_any_number_of_priority_tags(cable, attach, mode, tags, version):
    """Behind more than the parser's reach nobody is: no honest sender writes so many, and no rule would be asked."""
    if mode == "generic":
        lab.ip("link", "set", cable.nic, "mtu", "65535")
        with lab.inside(cable.far):
            lab.ip("link", "set", cable.peer, "mtu", "65535")
    attach(mode)
    with host(cable) as stack:
        heard = {}
        for source in (OTHER[version], BLOCKED[version]):
            kinds = [*[f.VLAN, f.QINQ] * tags][:tags]
            heard[source] = stack.deliver([stack.tagged(kinds, source)])
        assert heard == {OTHER[version]: [OTHER[version]] * 2 * (tags <= REACH), BLOCKED[version]: []}


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_a_mapped_source_is_judged_as_the_address_that_a_socket_is_told(cable, attach, mode):
    """The stack delivers ::ffff:a.b.c.d, which a socket for both versions takes for a.b.c.d, and answers there."""
    attach(mode)
    with host(cable) as stack:
        heard = {}
        for source in (f"::ffff:{OTHER[4]}", f"::ffff:{BLOCKED[4]}"):
            heard[source] = [stack.deliver([stack.tagged(tags, source)]) for tags in ([], [f.VLAN] * 3)]
        assert list(heard.values()) == [[[f"::ffff:{OTHER[4]}"] * 2] * 2, [[], []]]


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_what_the_stack_takes_no_packet_out_of_needs_no_parsing(cable, attach, mode):
    """Each of these would be a way past the program; where a stack begins to take one apart, this is red."""
    attach(mode)
    with host(cable) as stack:
        four, six = (stack.tagged([], BLOCKED[version])[14:] for version in (4, 6))
        frames = {
            "0x9100": stack.tagged([0x9100], BLOCKED[4]),
            "0x9100 behind 0x8100": stack.tagged([f.VLAN, 0x9100], BLOCKED[4]),
            "0x9200": stack.tagged([0x9200], BLOCKED[4]),
            "LLC": stack.frame(3 + len(four), b"\x06\x06\x03" + four),
            "SNAP": stack.frame(8 + len(four), b"\xaa\xaa\x03\0\0\0\x08\0" + four),
            "MPLS": stack.frame(0x8847, b"\0\0\x01\x40" + four),
            "PPPoE": stack.frame(0x8864, struct.pack("!BBHHH", 0x11, 0, 1, 2 + len(four), 0x21) + four),
            "IPIP": stack.frame(f.IPV4, inside(OTHER[4], 4, four)),
            "SIT": stack.frame(f.IPV4, inside(OTHER[4], 41, six)),
            "GRE": stack.frame(f.IPV4, inside(OTHER[4], 47, b"\0\0\x08\0" + four)),
            "IPv4 in IPv6": stack.frame(f.IPV6, inside(OTHER[6], 4, four)),
            "IPv6 in IPv6": stack.frame(f.IPV6, inside(OTHER[6], 41, six)),
            "SRv6 with IPv4": stack.frame(f.IPV6, inside(OTHER[6], f.ROUTING, segments(4) + four)),
            "SRv6 with IPv6": stack.frame(f.IPV6, inside(OTHER[6], f.ROUTING, segments(41) + six)),
        }
        assert {name: stack.deliver([frame]) for name, frame in frames.items()} == {name: [] for name in frames}


def inside(source: str, protocol: int, content: bytes) -> bytes:
    """Return a packet of that protocol to this host."""
    if ":" in source:
        first = struct.pack("!IHBB", 6 << 28, len(content), protocol, 64)
        return first + address(source) + address(OWN[6]) + content
    header = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(content), 1, 0, 64, protocol, 0))
    header += address(source) + address(OWN[4])
    header[10:12] = struct.pack("!H", checksum(header))
    return bytes(header) + content


def segments(following: int) -> bytes:
    """Return a segment routing header whose one segment, this host, is reached."""
    return struct.pack("!BBBBBBH", following, 2, 4, 0, 0, 0, 0) + address(OWN[6])
