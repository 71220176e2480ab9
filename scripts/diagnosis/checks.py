"""The looks that the doctor takes at a machine."""

import json
import os
import platform
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from diagnosis.finding import Finding, Level, fine, judged
from diagnosis.machine import GIB, available_memory
from diagnosis.project import chosen, project
from diagnosis.vram import KNOWN, Budget, shape_of, vllm_setting

OLDEST_ENGINE, BEST_ENGINE = (20, 10), (25, 0)
OLDEST_COMPOSE = (2, 20, 2)  # depends_on with `required: false`
OLDEST_DRIVER = (570, 0)  # CUDA 12.8
_NETWORKS = 8
_POOL = 31  # networks that an engine has addresses for by default
MODEL_SERVERS = ("cpu", "vllm-cpu", "gpu", "gpu-embedding")
"""The profiles of which one is chosen."""
# Estimates, rounded up, in GiB: what the containers of a profile take together once a question was
# answered, and their images with volumes, of the default models. The first four are each the core
# with its model server; docs/operations.md has what was measured.
_MEMORY = {"cpu": 2.5, "vllm-cpu": 5.5, "gpu": 10.5, "gpu-embedding": 12.5}
_MEMORY |= {"tools": 0.5, "observability": 0.75, "quality": 0.25, "valkey": 0.25, "login": 0.1}
_DISK = {"cpu": 7.0, "vllm-cpu": 13.0, "gpu": 35.0, "gpu-embedding": 43.0}
_DISK |= {"tools": 1.5, "observability": 3.0, "quality": 0.5, "valkey": 0.1, "login": 0.0}


def told(*command: str) -> str | None:
    """What a command prints; none when it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def version(text: str) -> tuple[int, ...]:
    """The first version number in a text: `v2.26.1-4` is (2, 26, 1)."""
    found = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def engine(name: str) -> Iterator[Finding]:
    """Docker's engine, Compose and the room for networks; `name` is the Compose project's."""
    found = told("docker", "version", "--format", "{{.Server.Version}}")
    if found is None:
        mend = "install Docker Engine, start it, and let this user reach it: docker info must work"
        yield Finding(Level.STOPS, "no Docker engine answers", mend)
        return
    if OLDEST_ENGINE <= version(found) < BEST_ENGINE:
        words = f"engine {found} works, and is no longer maintained"
        yield Finding(Level.NOTE, words, "update Docker Engine when you can")
    else:
        new = version(found) >= OLDEST_ENGINE
        yield judged(new, f"engine {found}", "update Docker Engine: 20.10 is the oldest that works")
    compose = told("docker", "compose", "version", "--short")
    yield judged(
        version(compose or "") >= OLDEST_COMPOSE,
        f"Compose {compose or 'is missing'}",
        "install the plugin docker-compose, 2.20.2 or newer",
    )
    networks = len((told("docker", "network", "ls", "--quiet") or "").split())
    ours = told(
        "docker",
        "network",
        "ls",
        "--quiet",
        "--filter",
        f"label=com.docker.compose.project={name}",
    )
    yield judged(
        bool(ours) or networks + _NETWORKS <= _POOL,
        f"{networks} networks on the engine",
        "remove unused ones (docker network prune), or widen default-address-pools in daemon.json",
    )


def runtime(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether the engine has the runtime that the tool servers and the parser are to have."""
    if name := environment.get("TOOL_RUNTIME"):
        known = json.loads(told("docker", "info", "--format", "{{json .Runtimes}}") or "{}")
        yield judged(
            name in known,
            f"the engine has {'the' if name in known else 'no'} runtime {name}",
            "register it in daemon.json (docs/operations.md), or leave TOOL_RUNTIME empty",
        )


def clone(root: Path, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Whether another clone has the name of this one's project."""
    name = project(environment, root)
    listed = told(
        "docker", "ps", "--all", "--filter", f"label=com.docker.compose.project={name}",
        "--format", '{{.Label "com.docker.compose.project.working_dir"}}',
    )  # fmt: skip
    others = sorted(set((listed or "").split("\n")) - {"", str(root)})
    yield judged(
        not others,
        f"the Compose project {name} is that of {others[0]}"
        if others
        else f"the Compose project {name} is this clone's",
        "set COMPOSE_PROJECT_NAME, BULKHEAD_PORT and GRAFANA_PORT for one of the two",
    )


def machine(
    profile: str, environment: Mapping[str, str], system: Path = Path("/")
) -> Iterator[Finding]:
    """Cores, their kind, memory, disk and the port."""
    if profile == "vllm-cpu":
        kind = platform.machine()
        yield judged(
            kind in ("x86_64", "AMD64"),
            f"the processor is {kind}",
            "vLLM's image for CPUs is for x86-64 alone: use COMPOSE_PROFILES=cpu",
        )
    cores = os.cpu_count() or 1
    mend = "set LLM_CPUS, EMBEDDING_CPUS, RETRIEVER_CPUS and QDRANT_CPUS to 1"
    yield judged(cores >= 2, f"{cores} cores", f"the engine refuses limits above them: {mend}")
    profiles = {profile, *chosen(environment)} - ({*MODEL_SERVERS} - {profile})
    needed = sum(_MEMORY.get(one, 0) for one in profiles)
    memory = available_memory(system)
    yield judged(
        memory >= needed * GIB,
        f"{memory / GIB:.1f} GiB of memory available, {needed:.1f} are used",
        "close other programs, leave parts out (COMPOSE_PROFILES), or choose a smaller model",
    )
    root = Path(told("docker", "info", "--format", "{{.DockerRootDir}}") or "/")
    free = shutil.disk_usage(root if root.is_dir() else "/").free
    needed = sum(_DISK.get(one, 0) for one in profiles)
    yield judged(
        free >= needed * GIB,
        f"{free / GIB:.0f} GiB of disk free for the engine, {needed:.0f} are used at first",
        "make room (docker system prune shows what can go), or move data-root in daemon.json",
    )
    yield from _other_models(environment)
    yield port(int(environment.get("BULKHEAD_PORT") or 8080))


def _other_models(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Memory and disk above are estimates for the models that a stack has by default."""
    names = ("LLM_MODEL", "EMBEDDING_MODEL", "RERANKER_MODEL")
    if others := [f"{name}={environment[name]}" for name in names if environment.get(name)]:
        words = f"memory and disk are estimated for the default models, not for {', '.join(others)}"
        yield Finding(Level.NOTE, words, "add the size of a model's files to both")


def port(number: int) -> Finding:
    """Whether the retriever's port can be had, or is the stack's own."""
    what = f"port {number} on 127.0.0.1"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError:
            ours = told("docker", "ps", "--quiet", "--filter", f"publish={number}")
            return judged(bool(ours), f"{what} is taken", "end what has it, or set BULKHEAD_PORT")
    return fine(f"{what} is free")


def gpu(
    profile: str, environment: Mapping[str, str], settings: Path, config: Path | None
) -> Iterator[Finding]:
    """Driver, container toolkit and the memory of the card that is chosen."""
    listed = told(
        "nvidia-smi",
        "--query-gpu=index,name,memory.total,driver_version",
        "--format=csv,noheader,nounits",
    )
    if not listed:
        mend = "install NVIDIA's driver (nvidia-smi must work), or use COMPOSE_PROFILES=cpu"
        yield Finding(Level.STOPS, "no NVIDIA GPU is seen", mend)
        return
    cards = {row[0]: row[1:] for row in (line.split(", ") for line in listed.splitlines())}
    device = environment.get("GPU_DEVICE") or "0"
    if device not in cards:
        yield Finding(
            Level.STOPS, f"there is no GPU {device}", f"set GPU_DEVICE to one of {', '.join(cards)}"
        )
        return
    name, mebibytes, driver = cards[device]
    yield judged(
        version(driver) >= OLDEST_DRIVER, f"driver {driver}", "install driver 570 or newer"
    )
    runtimes = told("docker", "info", "--format", "{{json .Runtimes}}") or "{}"
    yield judged(
        "nvidia" in json.loads(runtimes) or Path("/etc/cdi/nvidia.yaml").is_file(),
        "the engine can hand a GPU to a container",
        "install nvidia-container-toolkit, run nvidia-ctk runtime configure, restart the engine",
    )
    yield memory_of(
        f"GPU {device}, {name}", int(mebibytes) * 2**20, profile, environment, settings, config
    )


def memory_of(
    card: str,
    size: int,
    profile: str,
    environment: Mapping[str, str],
    settings: Path,
    config: Path | None,
) -> Finding:
    """Whether model, context and embedding fit a card of so many bytes."""
    model = environment.get("LLM_MODEL") or "Qwen/Qwen3-4B-Instruct-2507"
    if config is None and model not in KNOWN:
        mend = "give its config.json: python3 scripts/doctor.py --config FILE"
        return Finding(Level.NOTE, f"{card}: the memory that {model} takes is not known", mend)
    try:
        shape = shape_of(config) if config is not None else KNOWN[model]
        share = float(vllm_setting(settings, "gpu-memory-utilization"))
        context = int(vllm_setting(settings, "max-model-len"))
    except (OSError, ValueError) as error:
        return Finding(Level.STOPS, f"{card}: {error}", "correct the file")
    budget = Budget(shape, size, share, context, profile == "gpu-embedding")
    return judged(budget.fits, f"{card}, {model}: {budget.words()}", budget.mend())
