# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""What drivers call their interrupt vectors, and which queue a name speaks of.

Only the kernel itself knows for sure (``irqs.read_queues``); this is for kernels and drivers that do not tell. A name
that is in no table is no queue and no housekeeping either: it is unknown, and nobody moves it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

QUEUE = "queue"  # the vector serves one
OTHER = "other"  # it serves the link, a mailbox or the like
IDLE = "idle"  # it serves none of this NIC's queues: one that is not in use, another port's, RDMA's
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Names:
    """How one driver names its vectors.

    Attributes:
        queues: Patterns of those that serve queues. ``number`` only orders them, as tg3 counts from 1 and others leave
            gaps; ``way`` is what is counted by itself; ``nic`` is the interface, where ports share a PCI function.
        others: Pattern of those that serve none.
        idle: Pattern of those that belong to somebody else on the same PCI function.
        kept: Vectors of queues stay when there are fewer channels than before, and are idle then.
        halves: The first half sends and the second receives, under one name.
        by_order: All have one name, the interface's: those of queues come first.
        one_port: The names say nothing of the port, so they are of use only where the PCI function has but one.
        bare: The pattern is so wide that only the driver's own name makes sense of it.
        source: Where in the Linux tree (6.12) this is written.
    """

    queues: tuple[str, ...] = ()
    others: str | None = None
    idle: str | None = None
    kept: bool = False
    halves: bool = False
    by_order: bool = False
    one_port: bool = False
    bare: bool = False
    source: str = ""


# What most drivers do, with the interface's name or the driver's before it: igb, igc, ixgbe, ixgbevf, i40e, iavf, ice,
# idpf, fm10k, bnxt_en, tg3, ena, vmxnet3, nfp, hns3, otx2, liquidio, enic, alx, fbnic, xgbe, txgbe, ngbe, stmmac.
_ANY_QUEUES = (
    r"(?P<way>tx-?rx|rx-?tx)-?(?P<number>\d+(-\d+)*)$",
    r"(?P<way>rx|tx)-(?P<number>\d+)$",
    r"-(?P<way>rx|tx)$",  # forcedeth, of one queue
)
# The classifier's queue of i40e and the control queue of ice carry no packets. After them: igb and others leave
# vectors unused; i40e, ice; iavf, idpf; ice's time stamps; ena, gve; mana; nfp; enic; tsnep, niu; virtio; vmxnet3.
_ANY_OTHERS = (
    r"(fdir|ctrl)-tx-?rx-\d+$|-unused$|:misc$|-misc-|:mbx$|[-_]mailbox|:ll_ts$|-(mgmnt|mgmt)\b|_hwc@|-(lsc|exn)$"
    r"|-(err|notify)$|-mac$|:(mac|mif|syserr|wol|lpi)$|-config$|-event-\d+$|-aenq|adminq|-ptp$|-aux$|-other$|[-_]async\d*@"
)
_ANY_IDLE = r"^irdma-|^i40iw|^bnxt_re|^bnxt_qplib|^mlx4-ib|^ocrdma|^qedr|^hns-(aeq|ceq|abn)"
ANY_DRIVER = Names(source="intel/igb/igb_main.c, igb_request_msix(), and most others")

# drivers/net/ethernet/... in the Linux tree, 6.12
NAMES: dict[str, Names] = {
    "atlantic": Names(by_order=True, source="aquantia/atlantic/aq_nic.c, aq_nic_start(); aq_ptp.c"),
    "be2net": Names((r"-(?P<way>q)(?P<number>\d+)$",), source="emulex/benet/be_main.c, be_msix_register()"),
    "bna": Names(
        (r" (?P<way>txq|cq) (?P<number>\d+)$",), others=r"^bna$", source="brocade/bna/bnad.c, bnad_tx_msix_register()"
    ),
    "bnx2": Names((r"(?P<way>-)(?P<number>\d+)$",), bare=True, source="broadcom/bnx2.c, bnx2_enable_msix()"),
    "bnx2x": Names((r"-(?P<way>fp)-(?P<number>\d+)$",), source="broadcom/bnx2x/bnx2x_cmn.c, bnx2x_req_msix_irqs()"),
    "cxgb3": Names(
        (r"^(?P<nic>.+)(?P<way>-)(?P<number>\d+)$",),
        others=r"^[0-9a-f]{4}:[0-9a-f:.]+$",
        bare=True,
        source="chelsio/cxgb3/cxgb3_main.c, name_msix_vecs()",
    ),
    "cxgb4": Names(
        (r"^(?P<nic>.+)-(?P<way>rx)(?P<number>\d+)$",),
        others=r"-fweventq$",
        idle=r"-(?!rx\d)[a-z][a-z-]*\d+$",
        source="chelsio/cxgb4/cxgb4_main.c, setup_sge_queues(); cxgb4_uld.c",
    ),
    "cxgb4vf": Names(
        (r"^(?P<nic>.+)(?P<way>-)(?P<number>\d+)$",),
        others=r"-fweventq$",
        bare=True,
        source="chelsio/cxgb4vf/cxgb4vf_main.c, name_msix_vecs()",
    ),
    "fsl_enetc": Names(others=r"-vfmsg$", source="freescale/enetc/enetc.c, enetc_setup_irqs()"),
    "fsl_enetc_vf": Names(source="freescale/enetc/enetc.c, enetc_setup_irqs()"),
    "funeth": Names((r"-(?P<way>q)\[(?P<number>\d+)\]$",), source="fungible/funcore/fun_queue.c, fun_request_irq()"),
    "gve": Names(
        (r"-(?P<way>ntfy-blk)(?P<number>\d+)@", r"-(?P<way>ntfy-block\.)(?P<number>\d+)$"),
        kept=True,
        halves=True,
        source="google/gve/gve_main.c, gve_alloc_notify_blocks()",
    ),
    "hinic": Names(
        (r"_(?P<way>rxq|txq)(?P<number>\d+)$",),
        others=r"^hinic_[ac]eq\d+@",
        source="huawei/hinic/hinic_rx.c, hinic_init_rxq(); hinic_hw_eqs.c",
    ),
    "ionic": Names(
        (r"-l\d+-(?P<way>rx|tx)(?P<number>\d+)$",),
        others=r"-l\d+-(adminq|notify)",
        source="pensando/ionic/ionic_lif.c, ionic_request_irq(); ionic_dev.c, ionic_q_init()",
    ),
    "mana": Names((r"_(?P<way>q)(?P<number>\d+)(@|$)",), kept=True, source="microsoft/mana/gdma_main.c"),
    "mlx4_en": Names(
        (r"^(?P<way>mlx4)-(?P<number>\d+)@",), one_port=True, source="mellanox/mlx4/eq.c, mlx4_assign_eq()"
    ),
    "mlx5_core": Names(
        (r"^mlx5_(?P<way>comp|combined)(?P<number>\d+)(@|$)",),
        others=r"^mlx5_async\d*(@|$)",
        idle=r"^mlx5_sf_",  # those of subfunctions are listed below the same PCI function
        kept=True,
        source="mellanox/mlx5/core/pci_irq.c, irq_set_name() and irq_sf_set_name()",
    ),
    "myri10ge": Names((r":(?P<way>slice)-(?P<number>\d+)$",), source="myricom/myri10ge/myri10ge.c"),
    "nicvf": Names(
        others=r"-qset-err-\d+$|^nicvf mbox$",
        idle=r"-(sq|rbdr)-\d+$",
        source="cavium/thunder/nicvf_main.c, nicvf_register_interrupts()",
    ),
    "octeon_ep": Names(
        (r"-(?P<way>q)(?P<number>\d+)$",),
        others=r"-epf_",
        source="marvell/octeon_ep/octep_main.c, octep_request_irqs()",
    ),
    "octeon_ep_vf": Names((r"-(?P<way>q)(?P<number>\d+)$",), source="marvell/octeon_ep_vf/octep_vf_main.c"),
    "qede": Names(
        (r"-(?P<way>fp)-(?P<number>\d+)$",),
        others=r"^sp-\d+-",
        source="qlogic/qede/qede_main.c, qede_setup_irqs(); qlogic/qed/qed_main.c, qed_slowpath_irq_req()",
    ),
    "qlcnic": Names(
        (r"-tx-0-(?P<way>rx)-(?P<number>\d+)$",),
        others=r"^qlcnic-mb$",
        source="qlogic/qlcnic/qlcnic_main.c, qlcnic_request_irq()",
    ),
    "rtase": Names((r"(?P<way>_int)(?P<number>\d+)$",), source="realtek/rtase/rtase_main.c, rtase_open()"),
    "rvu_nicpf": Names(others=r"^rvupf|-qerr$", source="marvell/octeontx2/nic/otx2_pf.c, otx2_open()"),
    "rvu_nicvf": Names(others=r"^rvuvf|-qerr$", source="marvell/octeontx2/nic/otx2_vf.c, otx2vf_register_mbox_intr()"),
    "sfc": Names(
        (r"(?P<way>)(?<!-rx)(?<!-tx)(?<!-xdp)-(?P<number>\d+)$",),
        bare=True,
        idle=r"-xdp-\d+$",  # those send for one CPU each, whichever queue a packet came by
        source="sfc/efx_channels.c, efx_get_channel_name(); ptp.c, efx_ptp_get_channel_name()",
    ),
    "tg3": Names(others=r"(?<![rt]x)-\d+$", source="broadcom/tg3.c, tg3_request_irq()"),
    "virtio_net": Names(
        (r"-(?P<way>input|output)\.(?P<number>\d+)$", r"-(?P<way>virtqueues)$"),
        kept=True,
        source="../virtio_net.c, virtnet_find_vqs(); ../../virtio/virtio_pci_common.c, vp_find_vqs_msix()",
    ),
}
for _alias, _name in (("sfc-falcon", "sfc"), ("sfc-siena", "sfc"), ("mlx4_core", "mlx4_en")):
    NAMES[_alias] = NAMES[_name]


@dataclass(frozen=True)
class Owner:
    """Whose vectors they are, as far as it is known.

    Attributes:
        driver: Its name.
        nic: The interface.
        ports: Interfaces of the same PCI function.
        queues: Queues in use, each of which interrupts.
    """

    driver: str | None = None
    nic: str | None = None
    ports: int = 1
    queues: int | None = None


def sort_out(names: Sequence[str], owner: Owner) -> list[tuple[str, int | None]]:
    """Return what each vector is for, and its queue.

    Args:
        names: Of the vectors, in the order of their numbers.
        owner: Whose they are.
    """
    scheme = NAMES.get(owner.driver or "") or _guess(names)
    if scheme.by_order:
        return _by_order(names, owner)
    duties: list[tuple[str, int | None]] = [(_duty(name, scheme), None) for name in names]
    matches = {
        place: match
        for place, name in enumerate(names)
        if duties[place][0] == UNKNOWN and name != owner.nic and (match := _queue(name, scheme))
    }
    if scheme.one_port and owner.ports > 1:
        matches = {}
    if not matches:
        return _without_queues(names, duties, owner)
    foreign = _of_other_ports(matches, owner)
    ways: dict[str, list[tuple[tuple[int, ...], int]]] = defaultdict(list)
    for place, match in matches.items():
        if place in foreign:
            duties[place] = (IDLE, None)
        else:
            numbers = tuple(int(number) for number in re.findall(r"\d+", match.groupdict().get("number") or "0"))
            ways[match["way"].lower()].append((numbers, place))
    for members in ways.values():
        half = len(members) // 2 if scheme.halves else 0
        for rank, (_numbers, place) in enumerate(sorted(members)):
            queue = rank % half if half else rank
            idle = scheme.kept and owner.queues is not None and queue >= owner.queues
            duties[place] = (IDLE, None) if idle else (QUEUE, queue)
    # Most drivers give the interface's bare name to what serves the link; the interface may be renamed since.
    bare = {owner.nic, *(names[place][: match.start()].rstrip("-:") for place, match in matches.items())}
    return [
        (OTHER, None) if duty == UNKNOWN and names[place] in bare else (duty, queue)
        for place, (duty, queue) in enumerate(duties)
    ]


def _guess(names: Sequence[str]) -> Names:
    """Return the scheme that names fit, for a driver that is not in the table: of another version, or a relative."""
    for scheme in NAMES.values():
        if not scheme.bare and any(re.search(one, name, re.IGNORECASE) for one in scheme.queues for name in names):
            return scheme
    return ANY_DRIVER


def _duty(name: str, scheme: Names) -> str:
    for duty, patterns in ((OTHER, (scheme.others, _ANY_OTHERS)), (IDLE, (scheme.idle, _ANY_IDLE))):
        if any(pattern and re.search(pattern, name, re.IGNORECASE) for pattern in patterns):
            return duty
    return UNKNOWN


def _queue(name: str, scheme: Names) -> re.Match[str] | None:
    found = (re.search(pattern, name, re.IGNORECASE) for pattern in (*scheme.queues, *_ANY_QUEUES))
    return next(filter(None, found), None)


def _by_order(names: Sequence[str], owner: Owner) -> list[tuple[str, int | None]]:
    if len(names) == 1:
        return [(QUEUE, 0)]
    if owner.queues is None:
        return [(UNKNOWN, None)] * len(names)
    return [(QUEUE, place) if place < owner.queues else (OTHER, None) for place in range(len(names))]


def _without_queues(
    names: Sequence[str], duties: list[tuple[str, int | None]], owner: Owner
) -> list[tuple[str, int | None]]:
    if len(names) == 1 and duties[0][0] == UNKNOWN and owner.ports == 1:  # a NIC of one vector
        return [(QUEUE, 0)]
    return duties


def _of_other_ports(matches: Mapping[int, re.Match[str]], owner: Owner) -> set[int]:
    """Return the vectors that name another interface, where several are named and ours is one of them."""
    named = {place: match["nic"] for place, match in matches.items() if match.groupdict().get("nic")}
    if len({*named.values()}) < 2 or owner.nic not in named.values():
        return set()
    return {place for place, nic in named.items() if nic != owner.nic}
