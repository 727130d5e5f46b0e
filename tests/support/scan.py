"""What answers where, as seen from a network namespace: each address and port once, all at the same time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

Target = tuple[str, int]
_CONNECT = """
import json, os, selectors, socket, sys, time
targets, patience, uid = json.load(sys.stdin), float(sys.argv[1]), int(sys.argv[2])
if uid:
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
waiting, answered = selectors.DefaultSelector(), []
for number, (address, port) in enumerate(targets):
    one = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    one.setblocking(False)
    try:
        one.connect((address, port))
    except BlockingIOError:
        pass
    except OSError:
        continue
    waiting.register(one, selectors.EVENT_WRITE, number)
found, end = {}, time.monotonic() + patience
while waiting.get_map() and time.monotonic() < end:
    for key, events in waiting.select(max(0.0, end - time.monotonic())):
        if events & selectors.EVENT_WRITE:
            if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                waiting.unregister(key.fileobj)
            else:
                found[key.data] = ""
                waiting.modify(key.fileobj, selectors.EVENT_READ, key.data)
            continue
        try:
            found[key.data] = key.fileobj.recv(64).decode(errors="replace")
        except OSError:
            pass
        waiting.unregister(key.fileobj)
print(json.dumps([[*targets[number], said] for number, said in found.items()]))
"""
# One SYN to the NIC's own MAC for each target, whatever its address; no route of the sender leads to a loopback one.
_FRAMES = """
import json, select, socket, struct, sys, time
device, mac, source, patience = sys.argv[1], bytes.fromhex(sys.argv[2]), sys.argv[3], float(sys.argv[4])
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
wire.bind((device, 0))
own = wire.getsockname()[4]
def total(data):
    data += b"\\0" * (len(data) % 2)
    folded = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while folded >> 16:
        folded = (folded & 0xFFFF) + (folded >> 16)
    return ~folded & 0xFFFF
targets = json.load(sys.stdin)
for number, (address, port) in enumerate(targets):
    ends = socket.inet_aton(source) + socket.inet_aton(address)
    syn = struct.pack("!HHIIBBHHH", 20000 + number, port, 1, 0, 0x50, 2, 1024, 0, 0)
    syn = syn[:16] + struct.pack("!H", total(ends + struct.pack("!BBH", 0, 6, len(syn)) + syn)) + syn[18:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, number, 0, 64, 6, 0) + ends
    head = head[:10] + struct.pack("!H", total(head)) + head[12:]
    wire.send(mac + own + b"\\x08\\x00" + head + syn)
answered, end = [], time.monotonic() + patience
while time.monotonic() < end:
    if not select.select([wire], [], [], max(0.0, end - time.monotonic()))[0]:
        break
    frame, (_, _, kind, *_) = wire.recvfrom(2048)
    if kind != socket.PACKET_OUTGOING and frame[23] == 6 and frame[47] & 0x12 == 0x12:
        number = struct.unpack("!H", frame[36:38])[0] - 20000
        if 0 <= number < len(targets):
            answered.append(targets[number])
print(json.dumps(answered))
"""


def connect(within: Sequence[str], targets: Iterable[Target], uid: int = 0, patience: float = 1.5) -> dict[Target, str]:
    """Return what takes a connection, and what it says by itself; "" where it waits to be spoken to.

    Args:
        within: Command line that leads into the namespace.
        targets: Addresses and ports.
        uid: The user to connect as; root where 0.
        patience: Seconds for all of them together.
    """
    answers = _run(within, _CONNECT, [str(patience), str(uid)], targets)
    return {(address, port): said for address, port, said in answers}


def frames(
    within: Sequence[str], device: str, mac: str, source: str, targets: Iterable[Target], patience: float = 1.5
) -> set[Target]:
    """Return what answers a SYN in a frame that is sent to a MAC.

    Args:
        within: Command line that leads into the namespace.
        device: Its NIC.
        mac: Of the NIC at the other end.
        source: The sender's address.
        targets: Addresses and ports.
        patience: Seconds to listen.
    """
    answers = _run(within, _FRAMES, [device, mac.replace(":", ""), source, str(patience)], targets)
    return {(answer[0], answer[1]) for answer in answers}


def _run(within: Sequence[str], script: str, arguments: Sequence[str], targets: Iterable[Target]) -> list[Any]:
    command = [*within, sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, input=json.dumps(list(targets)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
