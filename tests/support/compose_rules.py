"""The rules of docs/security.md for every service, as a list of what breaks them.

A deviation is named here with the service, so that a new one is a change to this file.
"""

import re
from collections.abc import Callable, Iterator

from compose_file import Json, environment, mounts, names, networks, published, services

FETCHERS = {"models-cpu", "models-vllm-cpu", "models-gpu"}
ONE_SHOTS = {
    "configuration",
    "secrets",
    "examples",
    "settled",
    "sample-database",
    "bulk",
} | FETCHERS
BY_HAND = {"bulk"}  # of a profile that nobody starts: `docker compose run`
ROOT_USER = {"secrets"}  # hands each secret to its reader, with CHOWN alone
ADDED = {"secrets": ["CHOWN"]}
# Compiles kernels at start.
EXEC_TMPFS = {("llm-vllm-cpu", "/home/vllm"), ("llm-gpu", "/home/vllm")}
OPEN_NETWORKS = {"egress": FETCHERS, "front": {"ingress"}, "login": {"login"}}
FINDS_NAMES = FETCHERS | {"login"}  # of the world, as it connects there
PUBLISHED = {"ingress"}
NO_NETWORK = {"configuration", "secrets", "mcp-filesystem", "parser", "settled"}
# Whose sockets those below are, and bridges'.
GROUPS = {"retriever": ["10006", "10014"], "ingest": ["10010"], "bulk": ["10010"]}
SEEDED = {("mcp-filesystem", "files")}  # its image holds what the volume begins with
SOCKETS: dict[str, tuple[str, ...]] = {  # who listens, who call
    "mcp-filesystem-socket": ("mcp-filesystem", "retriever"),
    "parser-socket": ("parser", "ingest", "bulk"),
}
SIDES = {"ingest": "retriever", "bulk": "retriever"}  # one program, so one end of a network
NO_PROBE = {"otel-collector", "tempo"}  # images of one program; Prometheus asks them

_SECRET_NAME = re.compile(r"(?<!VAL)KEY|TOKEN(?!S)|PASSWORD|SECRET|CREDENTIAL", re.IGNORECASE)
Rule = Callable[[str, Json], Iterator[str]]


def violations(config: Json) -> list[str]:
    """Every broken rule of a rendered compose file, as `service: what is wrong`."""
    found = [
        f"{name}: {problem}"
        for name, service in services(config).items()
        for rule in RULES
        for problem in rule(name, service)
    ]
    for rule_of_all in (_network_rules, _socket_rules, _waits):
        found += rule_of_all(config)
    return found


def _image(name: str, service: Json) -> Iterator[str]:
    image = service.get("image", "")
    build = service.get("build")
    if build is None and not re.fullmatch(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}", image):
        yield f"image {image!r} has no tag with a digest"
    if build is not None:
        if not re.fullmatch(r"bulkhead/[a-z-]+:[-_a-z0-9]+", image):
            yield f"what is built here is called bulkhead/…:PROJECT, not {image!r}"
        base = build.get("args", {}).get("PYTHON_IMAGE", "")
        if not re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", base):
            yield f"base image {base!r} has no tag with a digest"


def _user(name: str, service: Json) -> Iterator[str]:
    user = str(service.get("user", ""))
    if not re.fullmatch(r"\d+:\d+", user):
        yield f"user {user!r} is not UID:GID"
    elif service.get("group_add", []) != GROUPS.get(name, []):
        yield f"is in further groups: {service.get('group_add')}"
    elif (user.startswith("0:") or user.endswith(":0")) and name not in ROOT_USER:
        yield "runs as root"


def _privileges(name: str, service: Json) -> Iterator[str]:
    if service.get("cap_drop") != ["ALL"]:
        yield "does not drop all capabilities"
    if (service.get("cap_add") or []) != ADDED.get(name, []):
        yield f"adds capabilities: {service.get('cap_add')}"
    if service.get("security_opt") != ["no-new-privileges:true"]:
        yield f"security options are {service.get('security_opt')}"
    for forbidden in ("privileged", "pid", "ipc", "devices", "userns_mode", "cgroup_parent"):
        if service.get(forbidden):
            yield f"{forbidden} is set"


def _files(name: str, service: Json) -> Iterator[str]:
    if service.get("read_only") is not True:
        yield "its root is writable"
    if not service.get("tmpfs"):
        yield "has no tmpfs of ours"
    for entry in service.get("tmpfs", ()):
        target, _, options = entry.partition(":")
        wanted = {"nosuid", "nodev"} | (set() if (name, target) in EXEC_TMPFS else {"noexec"})
        if not wanted <= set(options.split(",")) or "size=" not in options:
            yield f"tmpfs {target} lacks one of {sorted(wanted)} or a size"
    for mount in mounts(service):
        if not re.fullmatch(r"[a-z][a-z0-9-]+", mount.source):
            yield f"mounts {mount.source!r} of the host"
        if mount.read_only and not mount.nocopy and (name, mount.source) not in SEEDED:
            yield f"may take {mount.source} from its writer: it is not mounted nocopy"
        if mount.source.endswith("-secrets") and name != "secrets":
            if not mount.read_only:
                yield f"can write its secrets in {mount.target}"
            if mount.source != f"{name}-secrets":
                yield f"sees the secrets of another: {mount.source}"
        if mount.source.endswith("-socket"):
            listener, *callers = ends_of(mount.source)
            if name not in (listener, *callers):
                yield f"reaches a socket that is not for it: {mount.source}"
            if name != listener and not mount.read_only:
                yield f"can replace the socket in {mount.source}"
        if mount.source == "secret-masters" and name != "secrets":
            yield "sees the masters of all secrets"
        if mount.source == "configuration" and not mount.read_only and name != mount.source:
            yield "can write what others are told"
        if mount.source == "models" and not (mount.read_only or name.startswith("models-")):
            yield "can write models"


def ends_of(volume: str) -> tuple[str, ...]:
    """Who listens on a socket, and who call: bridges have theirs for the retriever."""
    return SOCKETS.get(volume, (volume.removesuffix("-socket"), "retriever"))


def _is_bridge(service: Json) -> bool:
    build = service.get("build") or {}
    return bool(build.get("dockerfile", "").startswith("mcp_tools/bridge/"))


def _limits(name: str, service: Json) -> Iterator[str]:
    for limit in ("mem_limit", "cpus", "pids_limit"):
        if not service.get(limit):
            yield f"has no {limit}"
    if service.get("memswap_limit") != service.get("mem_limit"):
        yield "may swap beyond its memory"
    if service.get("ulimits", {}).get("core") not in (0, {}):  # Compose renders 0 as {}
        yield "may dump core"
    if "nofile" not in service.get("ulimits", {}):
        yield "has no limit on open files"
    logging = service.get("logging", {})
    if logging.get("driver") != "json-file" or "max-size" not in logging.get("options", {}):
        yield "its log may grow without end"


def _names(name: str, service: Json) -> Iterator[str]:
    wanted = [] if name in FINDS_NAMES else ["127.0.0.1"]
    if (service.get("dns") or []) != wanted:
        yield f"asks name servers of the world: {service.get('dns')}"


def _runtime(name: str, service: Json) -> Iterator[str]:
    """Who runs what a model asks for, or reads what strangers wrote, can be told another kernel."""
    ours = name.startswith("mcp-") or name == "parser"
    if ("runtime" in service) is not ours:
        yield "takes no TOOL_RUNTIME" if ours else "has a runtime of its own"


def _life(name: str, service: Json) -> Iterator[str]:
    check = service.get("healthcheck", {})
    if name in ONE_SHOTS:
        if service.get("restart") != "no":
            yield "a one-shot restarts"
    else:
        if service.get("restart") != "unless-stopped":
            yield f"restart is {service.get('restart')!r}"
        probed = check.get("test") and not check.get("disable") and check.get("start_period")
        if not probed and name not in NO_PROBE:
            yield "has no healthcheck with a start period"
        if check.get("disable"):
            yield "a disabled healthcheck makes `up --wait` of older Compose fail"
    if service.get("init") is not True:
        yield "nobody reaps its orphans"
    if service.get("stop_grace_period") != "10s":
        yield "is not given ten seconds to end"


def _environment(name: str, service: Json) -> Iterator[str]:
    for key, value in environment(service).items():
        if not _SECRET_NAME.search(key):
            continue
        if not key.endswith(("_FILE", "_DIR")):
            yield f"{key} looks like a secret in the environment"
        elif value and not f"{value}/".startswith("/run/secrets/"):
            yield f"{key} does not lie in /run/secrets"


def _proxies(name: str, service: Json) -> Iterator[str]:
    """The engine gives its own settings to each container that does not say otherwise."""
    if name not in OPEN_NETWORKS["egress"]:
        told = environment(service)
        for kind in ("http_proxy", "https_proxy", "all_proxy"):
            for variable in (kind, kind.upper()):
                if told.get(variable) != "":
                    yield f"may ask a proxy: {variable} is not empty"


def _ports(name: str, service: Json) -> Iterator[str]:
    for address, number in published(service):
        if name not in PUBLISHED:
            yield f"publishes port {number}"
        if address != "127.0.0.1":
            yield f"port {number} is bound to {address or 'every address'}"


def _network_rules(config: Json) -> Iterator[str]:
    members: dict[str, list[str]] = {}
    for name, service in services(config).items():
        if name in NO_NETWORK or _is_bridge(service):
            if service.get("network_mode") != "none":
                yield f"{name}: needs no network and has one"
        elif service.get("network_mode") or not networks(service):
            yield f"{name}: is not on networks of its own"
        for network in networks(service):
            members.setdefault(network, []).append(name)
    for network, there in members.items():
        if network in OPEN_NETWORKS:
            if not set(there) <= OPEN_NETWORKS[network]:
                yield f"{network}: {sorted(set(there) - OPEN_NETWORKS[network])} can leave"
            continue
        options = config["networks"][network] or {}
        if options.get("internal") is not True:
            yield f"{network}: leads out"
        if options.get("driver_opts", {}).get("com.docker.network.bridge.inhibit_ipv4") != "true":
            yield f"{network}: leads to the host"
        called = {one: names(one, services(config)[one]) | {SIDES.get(one, one)} for one in there}
        ends = {frozenset(all_of_one) for all_of_one in called.values()}
        if not any(_edge(network, a, b) for a in ends for b in ends):
            yield f"{network}: is not named after its two ends"
        strangers = [one for one in there if not any(_end(network, name) for name in called[one])]
        if strangers:
            yield f"{network}: somebody else is on it: {strangers}"


def _socket_rules(config: Json) -> Iterator[str]:
    """A socket's volume is in memory and bounded: it is a folder that somebody can write."""
    for name, volume in config["volumes"].items():
        if name.endswith("-socket"):
            options = (volume or {}).get("driver_opts", {})
            words = set(options.get("o", "").split(","))
            if options.get("type") != "tmpfs" or not {"noexec", "nosuid", "nodev"} <= words:
                yield f"{name}: is no tmpfs without execution"
            if not any(word.startswith("size=") for word in words):
                yield f"{name}: has no size"


def _edge(network: str, a: frozenset[str], b: frozenset[str]) -> bool:
    return any(network == f"{one}-{other}" for one in a for other in b)


def _end(network: str, name: str) -> bool:
    return network.startswith(f"{name}-") or network.endswith(f"-{name}")


def _waits(config: Json) -> Iterator[str]:
    awaited = set()
    for name, service in services(config).items():
        waits = service.get("depends_on", {})
        if not isinstance(waits, dict):
            yield f"{name}: depends_on without conditions"
            continue
        for other, options in waits.items():
            awaited.add(other)
            done = options.get("condition") == "service_completed_successfully"
            if (other in ONE_SHOTS) is not done:
                yield f"{name}: waits for {other} under {options.get('condition')}"
    run = {name for name, service in services(config).items() if service.get("scale") != 0}
    for name in sorted(ONE_SHOTS & run - awaited - BY_HAND):
        yield f"{name}: nobody waits for it, so `up --wait` would call its end a failure"


RULES: tuple[Rule, ...] = (
    _image,
    _user,
    _privileges,
    _files,
    _limits,
    _names,
    _runtime,
    _life,
    _environment,
    _proxies,
    _ports,
)
