"""A new tool server as one set of changes: written as a whole, or not at all."""

import importlib
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from generator.edit import Unplaced, add_item, add_key
from pin_tools import pinned
from retriever.agent.policy import Definition, Risk, pins_path, read_pins
from retriever.clients.mcp import definition

_TEMPLATE = Path(__file__).parent / "template"
_NAME = re.compile(r"[a-z]+(-[a-z]+)*")
_LONGEST = 20
_RESERVED = {"bridge", "retriever", "server", "bulkhead", "test", "tests"}
_FIRST_PORT, _FIRST_USER = 8094, 10020

POLICY = "services/retriever/retriever/agent/policy.yaml"
LISTS = ("mcp_tools/servers.yaml", "mcp_tools/servers.embedded.yaml")

Changes = dict[str, str]
"""The text of each file that is new or other, by its path in the repository."""


class CannotMake(ValueError):
    """Why there can be no such server; the message is for a person."""


@dataclass(frozen=True)
class NewServer:
    """A server to be made."""

    name: str
    port: int
    user: int

    @property
    def part(self) -> str:
        """Its service, container and audience."""
        return f"mcp-{self.name}"

    @property
    def module(self) -> str:
        """Its Python package."""
        return self.part.replace("-", "_")

    @property
    def folder(self) -> str:
        """Where it lies."""
        return f"mcp_tools/{self.name}"

    def files(self) -> dict[str, str]:
        """Its own files, by their paths, each with the template's file."""
        package, tests = f"{self.folder}/{self.module}", f"tests/unit/{self.module}"
        own = ("main.py", "settings.py", "notes.py", "notes.yaml", "tools.py")
        return {
            **{f"{self.folder}/{one}": one for one in ("Dockerfile", "README.md", "values.yaml")},
            f"{self.folder}/pyproject.toml": "pyproject.toml",
            f"{package}/__init__.py": "init.py",
            f"{package}/__main__.py": "main_module.py",
            f"{package}/py.typed": "",
            **{f"{package}/{one}": one for one in own},
            f"{tests}/test_{self.module}.py": "test_server.py",
        }


def planned(root: Path, name: str) -> tuple[NewServer, Changes]:
    """The server `name` and all that has to change for it but its lock.

    Raises `CannotMake` for a name that cannot be, or is taken in any place, and where a file is
    not as it must be.
    """
    check_name(name)
    compose = (root / "compose.yaml").read_text(encoding="utf-8")
    server = NewServer(name, _free_port(root), _free_user(root, compose))
    check_free(root, server)
    image = re.search(r"PYTHON_IMAGE:-([^}]+)}", compose)
    words = {
        "name": name,
        "part": server.part,
        "module": server.module,
        "prefix": server.module.upper(),
        "title": name.replace("-", " "),
        "Class": "".join(word.capitalize() for word in name.split("-")),
        "port": str(server.port),
        "user": str(server.user),
        "python_image": image[1] if image else "",
    }
    changes = {path: filled(file, words) if file else "" for path, file in server.files().items()}
    try:
        changes["compose.yaml"] = _composed(compose, server, filled("compose.yaml", words))
        changes |= _edited(root, server)
        changes |= _pinned(root, server, changes)
    except Unplaced as error:
        raise CannotMake(f"a file is not as it must be: {error}") from error
    return server, changes


def check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise CannotMake(
            f"{name!a} is no name for a server: small letters, with single hyphens between words,"
            f" at most {_LONGEST}"
        )
    if name in _RESERVED:
        raise CannotMake(f"{name!r} is a name of this project's own")


def check_free(root: Path, server: NewServer) -> None:
    """Nothing of the name is there: no whole server, and no half of one."""
    taken = [
        path for path in (server.folder, f"tests/unit/{server.module}") if (root / path).exists()
    ]
    words = {
        "compose.yaml": [f"{server.part}{end}" for end in ("", "-secrets", "-otel-collector")]
        + [f"retriever-{server.part}"],
        STANDIN: [server.part],
        PLAN: [server.part],
        _PROJECT: [server.folder],
        _CLIENTS: [f"bulkhead-{server.name}"],
        _SCRAPED: [f"bulkhead/{server.part}"],
        POLICY: [f"server: {server.name}"],
        **{path: [f"name: {server.name}"] for path in LISTS},
    }
    for path, those in words.items():
        text = (root / path).read_text(encoding="utf-8")
        if any(re.search(rf"(?<![\w-]){re.escape(one)}(?![\w-])", text) for one in those):
            taken.append(path)
    if taken:
        raise CannotMake(f"{server.name} is there already, or a part of it: {', '.join(taken)}")
    if find_spec(server.module) is not None:
        raise CannotMake(f"there is a Python package {server.module} already")


def _free_port(root: Path) -> int:
    listed = yaml.safe_load((root / LISTS[1]).read_text(encoding="utf-8"))["servers"]
    ports = [int(found[1]) for one in listed if (found := re.search(r":(\d+)/", one["url"]))]
    return max([_FIRST_PORT, *(port + 1 for port in ports)])


def _free_user(root: Path, compose: str) -> int:
    users = re.findall(r'user: "(\d+):', compose)
    return max([_FIRST_USER, *(int(one) + 1 for one in users if one.startswith("100"))])


def filled(file: str, words: Mapping[str, str]) -> str:
    text = (_TEMPLATE / f"{file}.tmpl").read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(f"{{{{{word}}}}}", value)
    return text


def _composed(text: str, server: NewServer, service: str) -> str:
    """compose.yaml with the server's service, its networks and its secret."""
    part = server.part
    block = "\n".join(line.removeprefix("  ") for line in service.splitlines())
    text = add_key(text, ["services"], block, after="mcp-database")
    text = add_item(text, ["services", "secrets", "volumes"], f"{part}-secrets:/volumes/{part}")
    text = add_item(text, ["services", "retriever", "networks"], f"retriever-{part}")
    text = add_item(text, ["services", "otel-collector", "networks"], f"{part}-otel-collector")
    text = add_key(text, ["networks"], f"retriever-{part}: *edge")
    text = add_key(text, ["networks"], f"{part}-otel-collector: *edge")
    return add_key(text, ["volumes"], f"{part}-secrets: {{}}")


def _edited(root: Path, server: NewServer) -> Changes:
    """The lists in which each server stands."""
    part, port = server.part, server.port
    told = {path: (root / path).read_text(encoding="utf-8") for path in (*LISTS, *_PLACES)}
    addresses = (f"http://{part}:{port}/mcp", f"http://127.0.0.1:{port}/mcp")
    keys_ = (f"/run/secrets/{part}-signing-key", f"{part}-signing-key")
    for path, url, key in zip(LISTS, addresses, keys_, strict=True):
        entry = f"url: {url}\n  auth: {{type: signed, key_file: {key}}}\n  trusted: true"
        told[path] = with_entry(told[path], server.name, entry)
    told[STANDIN] = add_key(
        told[STANDIN], ["services"], f"{part}: {{build: {{args: *python}}}}", after="mcp-database"
    )
    job = f'job_name: bulkhead/{part}\n  static_configs: [{{targets: ["127.0.0.1:{port}"]}}]'
    told[_SCRAPED] = add_item(told[_SCRAPED], ["scrape_configs"], job)
    told[PLAN] = with_user(told[PLAN], server)
    told[_PROJECT] = _after(told[_PROJECT], r'"mcp_tools/[\w-]+", ', f'"{server.folder}", ')
    clients = json.loads(told[_CLIENTS])
    clients["mcpServers"][f"bulkhead-{server.name}"] = {
        "type": "http",
        "url": addresses[1],
        "headers": {"Authorization": "Bearer TOKEN"},
    }
    told[_CLIENTS] = json.dumps(clients, indent=2) + "\n"
    return told


def with_entry(listed: str, name: str, entry: str) -> str:
    """A list of servers with one more, after an empty line."""
    text = add_item(listed, ["servers"], f"name: {name}\n  {entry}")
    return text.replace(f"  - name: {name}\n", f"\n  - name: {name}\n")


def with_user(plan: str, server: NewServer) -> str:
    """The plan of secrets with the signing key of one more server."""
    line = f'    "{server.part}": {server.user},\n'
    return _after(plan, r'    "mcp-[a-z-]+": \w+,\n(?=})', line)


STANDIN = "tests/stack/compose.standin.yaml"
_SCRAPED = "observability/prometheus/embedded.yml"
PLAN = "services/secrets/secrets_maker/plan.py"
_PROJECT = "pyproject.toml"
_CLIENTS = "mcp_tools/mcp.json"
_PLACES = (STANDIN, _SCRAPED, PLAN, _PROJECT, _CLIENTS)


def _after(text: str, pattern: str, more: str) -> str:
    """`text` with `more` behind the last thing that fits."""
    found = list(re.finditer(pattern, text))
    if not found:
        raise Unplaced(f"nothing fits {pattern}")
    end = found[-1].end()
    return f"{text[:end]}{more}{text[end:]}"


def _pinned(root: Path, server: NewServer, changes: Changes) -> Changes:
    """The policy with the server's tools, and the pins beside it."""
    offered = _offered(server, changes)
    path = root / POLICY
    new = [(server.name, tool) for tool in offered]
    definitions = read_pins(path) | {f"{server.name}__{tool}": one for tool, one in offered.items()}
    policy, pins = pinned(path.read_text(encoding="utf-8"), definitions, new, Risk.READ)
    return {POLICY: policy, str(pins_path(Path(POLICY))): pins}


def _offered(server: NewServer, changes: Changes) -> dict[str, Definition]:
    """What the server will say of its tools: asked of its code, from a folder that goes again."""
    before = set(sys.modules)
    with TemporaryDirectory() as folder, _importing(folder):
        write(Path(folder), {path: text for path, text in changes.items() if server.module in path})
        sys.path.insert(0, str(Path(folder) / server.folder))
        module = importlib.import_module(f"{server.module}.tools")
        (tools,) = (one for name, one in vars(module).items() if name.endswith("Tools"))
        found = {tool.name: definition(tool.definition()) for tool in tools({}).all()}
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == server.module:
            del sys.modules[name]
    return found


@contextmanager
def _importing(folder: str) -> Iterator[None]:
    paths, bytecode = list(sys.path), sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = paths, bytecode
        importlib.invalidate_caches()


def write(root: Path, changes: Changes) -> None:
    """Write the files. Raises `OSError`."""
    for path, text in changes.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


@contextmanager
def all_or_nothing(root: Path, changes: Changes, more: tuple[str, ...] = ()) -> Iterator[None]:
    """Write the changes; what fails inside the block, or an end of it by Ctrl-C, undoes them all.

    `more` are further files that the block writes.
    """
    paths = [*changes, *more]
    before = {path: (root / path).read_bytes() for path in paths if (root / path).is_file()}
    folders = {
        parent
        for path in paths
        for parent in (root / path).parents
        if root in parent.parents and not parent.exists()
    }
    try:
        write(root, changes)
        yield
    except BaseException:
        for path in paths:
            if path in before:
                (root / path).write_bytes(before[path])
            else:
                (root / path).unlink(missing_ok=True)
        for folder in sorted(folders, key=lambda one: len(one.parts), reverse=True):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise
