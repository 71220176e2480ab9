"""What the sandbox check sees of a container with every wall, and of a probe, which has none."""

import copy
from typing import Any

from sandbox.engine import Container, Place

Json = dict[str, Any]


def _process(name: str, **differs: Any) -> Json:
    return {
        "name": name,
        "users": [10001] * 4,
        "groups": [10001] * 5,
        "capabilities": dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0),
        "no_new_privileges": True,
        "seccomp": 2,
    } | differs


def _mount(at: str, kind: str, options: str) -> Json:
    return {"at": at, "kind": kind, "options": options.split(",")}


def facts() -> Json:
    """Of a container with every wall."""
    return {
        "processes": [_process("docker-init"), _process("python")],
        "namespaces": {kind: f"{kind}:[1]" for kind in ("pid", "net", "mnt", "ipc", "uts")},
        "mounts": [
            _mount("/", "overlay", "ro,relatime,rw"),
            _mount("/proc", "proc", "rw,nosuid,nodev,noexec"),
            _mount("/proc/sys", "proc", "ro,nosuid,nodev,noexec"),
            _mount("/sys", "sysfs", "ro,nosuid,nodev,noexec"),
            _mount("/dev", "tmpfs", "rw,nosuid,size=65536k,mode=755"),
            _mount("/dev/shm", "tmpfs", "rw,nosuid,nodev,noexec,size=65536k"),
            _mount("/tmp", "tmpfs", "rw,nosuid,nodev,noexec,size=65536k"),
            _mount("/data", "ext4", "rw,relatime"),
            _mount("/run/secrets", "ext4", "ro,relatime,rw"),
            _mount("/etc/hosts", "ext4", "ro,relatime,rw"),
        ],
        "limits": {
            "pids": 64,
            "memory": 2**28,
            "cpu": 100000,
            "swap": 0,
            "files": 4096,
            "core": 0,
        },
        "listening": [["0.0.0.0", 8080]],
        "inet6": [],
    }


def own_facts() -> Json:
    """Of the probe."""
    probe = _process(
        "python3",
        users=[0] * 4,
        groups=[0] * 4,
        capabilities={"CapEff": 0x800425FB},
        no_new_privileges=False,
        seccomp=0,
    )
    return facts() | {
        "processes": [probe],
        "namespaces": facts()["namespaces"]
        | {"mnt": "mnt:[9]", "ipc": "ipc:[9]", "uts": "uts:[9]"},
        "mounts": [_mount("/", "overlay", "rw"), _mount("/open", "tmpfs", "rw,relatime")],
        "limits": {
            "pids": None,
            "memory": None,
            "cpu": None,
            "swap": 0,
            "files": 4096,
            "core": None,
        },
    }


VOLUMES = {"/data": "volume"}
"""What the engine says can be written there."""


def container(service: str = "retriever", address: str = "172.20.0.2", **host: Any) -> Container:
    """A container on a network `front-NAME` of its own; `host` goes into its HostConfig."""
    mounts = [
        {"Destination": "/data", "Type": "volume", "RW": True, "Source": f"/volumes/{service}"},
        {"Destination": "/run/secrets", "Type": "volume", "RW": False, "Source": "/volumes/s"},
    ]
    told = {
        "HostConfig": {"PidMode": ""} | host,
        "Config": {"Env": ["PATH=/usr/bin:/bin"]},
        "Mounts": copy.deepcopy(mounts),
    }
    return Container(
        service,
        f"id-{service}",
        f"sha256:{service}",
        {f"front-{service}": Place(address, "172.20.0.1")},
        told,
    )
