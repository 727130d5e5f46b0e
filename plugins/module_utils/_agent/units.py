# Copyright (c) 2026, Tripod contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no compatibility is promised to code outside it.
"""The agent's commands as services: what each is started with, and its unit where systemd runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from .export_request import Export

_SUPERVISE = """\
[Unit]
Description=Start containers again that died without anybody requesting it
After=docker.service
# The supervisor outlasts the engine's outages by itself.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
Restart=always
RestartSec=1
# What operators stopped is saved there until the next boot.
RuntimeDirectory=tripod-keep
RuntimeDirectoryPreserve=yes

# It needs the engine's socket and its own directory, nothing else.
ProtectSystem=strict
ProtectHome=true
PrivateTmp=true
PrivateDevices=true
PrivateNetwork=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
NoNewPrivileges=true
CapabilityBoundingSet=
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
MemoryDenyWriteExecute=true
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0022
MemoryMax=128M
TasksMax=16

[Install]
WantedBy=multi-user.target
"""

_APPLY = """\
[Unit]
Description=Reapply what is requested of the host
# Rings and channels bounce a link, so that comes before anything configures it. Containers find their pins.
DefaultDependencies=no
Conflicts=shutdown.target
# Not after sysinit.target: where cloud-init waits for the network before that, it would be a circle.
After=systemd-modules-load.service systemd-sysctl.service systemd-udev-trigger.service
Wants=network-pre.target
Before=network-pre.target docker.service tripod-watch.service shutdown.target
RequiresMountsFor=/etc /run /sys/fs/bpf /usr/local /var

[Service]
Type=oneshot
RemainAfterExit=yes
# Drivers bind while the boot goes on; hardware that is later still is seen to by tripod-watch.
ExecStartPre=-udevadm settle --timeout=30
ExecStart={command}
# The network waits for this, and an operator for the network.
TimeoutStartSec=600

[Install]
WantedBy=multi-user.target
"""

_WATCH = """\
[Unit]
Description=Hold the network interfaces to what is requested, and revert changes that nobody confirms
After=tripod-apply.service
# A guard may be armed: it is always there again.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
Restart=always
RestartSec=1
RuntimeDirectory=tripod-watch
RuntimeDirectoryPreserve=yes

# It writes to /sys, /proc and /etc, and mounts: a mount namespace of its own would hide that from the host.
NoNewPrivileges=true
CapabilityBoundingSet=CAP_BPF CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_IPC_LOCK CAP_KILL CAP_NET_ADMIN \
CAP_NET_RAW CAP_PERFMON CAP_SYS_ADMIN CAP_SYS_NICE CAP_SYS_PTRACE CAP_SYS_RESOURCE
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
SystemCallArchitectures=native
SystemCallFilter=@system-service @mount bpf perf_event_open
SystemCallErrorNumber=EPERM
UMask=0022
MemoryMax=256M
TasksMax=32
# When memory runs out, the way back is not the first to go.
OOMScoreAdjust=-900

[Install]
WantedBy=multi-user.target
"""

_EXPORT = """\
[Unit]
Description=Export what the data plane's policies drop, and what their parts met
After=tripod-apply.service
# What is dropped is dropped without it; it is only not seen.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
Restart=always
RestartSec=1
RuntimeDirectory=tripod-export

# It opens pinned maps, and sends to one address.
ProtectSystem=strict
ProtectHome=true
PrivateTmp=true
PrivateDevices=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
ProtectKernelTunables=true
ProtectProc=invisible
NoNewPrivileges=true
CapabilityBoundingSet=CAP_BPF
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
SystemCallArchitectures=native
SystemCallFilter=@system-service bpf
SystemCallErrorNumber=EPERM
UMask=0022
MemoryMax=128M
TasksMax=16

[Install]
WantedBy=multi-user.target
"""

_POLICY = """\
[Unit]
Description=Change policies and bans for those who may request it
After=tripod-apply.service tripod-watch.service
# A container mounts its directory, which the engine would make itself, as another owner's, were it not there yet.
Before=docker.service
StartLimitIntervalSec=0

[Service]
Type=exec
# It could not make it later, as the file system around is read-only to it. What may be written is looked up for this
# command too, so it may be missing then.
ExecStartPre=+mkdir -p {state_dir}
ExecStart={command}
Restart=always
RestartSec=1
RuntimeDirectory=tripod-policy tripod
RuntimeDirectoryPreserve=yes
StateDirectory=tripod

# It writes state files, revisions, pins and the socket, and loads a program where a policy outgrows the one that runs.
# What is not pinned is opened by its number, which takes CAP_SYS_ADMIN; CAP_BPF and CAP_PERFMON are in that.
ProtectSystem=strict
ReadWritePaths=-{state_dir} -/sys/fs/bpf
ReadOnlyPaths=/proc
ProtectHome=true
PrivateTmp=true
PrivateDevices=true
ProtectClock=true
ProtectControlGroups=true
ProtectHostname=true
ProtectKernelLogs=true
ProtectKernelModules=true
NoNewPrivileges=true
CapabilityBoundingSet=CAP_CHOWN CAP_NET_ADMIN CAP_SYS_ADMIN
AmbientCapabilities=
RestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK
RestrictNamespaces=true
RestrictRealtime=true
RestrictSUIDSGID=true
LockPersonality=true
SystemCallArchitectures=native
SystemCallFilter=@system-service bpf
SystemCallErrorNumber=EPERM
UMask=0022
# A policy of a million prefixes takes a third of it while it is compiled.
MemoryMax=2G
TasksMax=64

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True)
class Service:
    """A command of the agent that is run for the host.

    Attributes:
        name: Its name, with systemd and in words.
        arguments: Of the agent.
        unit: What systemd reads; ``{command}`` stands for the command line.
        runtime: Its directory below the runtime directory, with its pid file; empty for one that only runs at boot.
        pid_file: What it notes its process in; empty likewise.
        log: What its output is appended to where no service manager runs.
    """

    name: str
    arguments: Sequence[str]
    unit: str
    runtime: str = ""
    pid_file: str = ""
    log: str = ""

    @property
    def stays(self) -> bool:
        """Whether it runs all the time."""
        return bool(self.pid_file)

    @property
    def words(self) -> list[str]:
        """The command and its action, by which its processes are told from others of the agent."""
        return list(takewhile(lambda word: not word.startswith("-"), self.arguments))


def services(
    label: str, state_dir: str, run_directory: str, log_directory: str, exported: Export, policy_uid: int | None = None
) -> list[Service]:
    """Return the agent's services, in the order they are started.

    Args:
        label: Of the containers to supervise, as ``key=value``.
        state_dir: Where the state files are.
        run_directory: Where each has a directory of its own.
        log_directory: Where each has a log, if no service manager has it.
        exported: What is exported of policies.
        policy_uid: Who may change policies beside root: the number of a user, and of its group.
    """
    names = ("keep", "watch", "policy", "export")
    supervise, watch, policy, export = (f"{run_directory}/tripod-{name}" for name in names)
    served = ("--socket", f"{policy}/policy.sock", "--pid-file", f"{policy}/policy.pid")
    allowed = () if policy_uid is None else ("--user", str(policy_uid), "--group", str(policy_uid))
    return [
        Service("tripod-apply", ("apply", "--state-dir", state_dir), _APPLY),
        Service(
            "tripod-watch",
            ("watch", "--state-dir", state_dir, "--pid-file", f"{watch}/watch.pid"),
            _WATCH,
            watch,
            f"{watch}/watch.pid",
            f"{log_directory}/tripod-watch.log",
        ),
        Service(
            "tripod-policy",
            ("policy", "serve", "--state-dir", state_dir, *served, *allowed),
            _POLICY.replace("{state_dir}", state_dir),
            policy,
            f"{policy}/policy.pid",
            f"{log_directory}/tripod-policy.log",
        ),
        Service(
            "tripod-export",
            (
                *("policy", "export", "--state-dir", state_dir, "--pid-file", f"{export}/export.pid"),
                *exported.arguments,
            ),
            _EXPORT,
            export,
            f"{export}/export.pid",
            f"{log_directory}/tripod-export.log",
        ),
        Service(
            "tripod-keep",
            ("keep", "--label", label, "--pid-file", f"{supervise}/keep.pid", "--state-file", f"{supervise}/keep.json"),
            _SUPERVISE,
            supervise,
            f"{supervise}/keep.pid",
            f"{log_directory}/tripod-keep.log",
        ),
    ]


def unit_text(service: Service, path: str) -> str:
    """Return a service's unit; ``path`` is the agent's."""
    return service.unit.format(command=" ".join((path, *service.arguments)))
