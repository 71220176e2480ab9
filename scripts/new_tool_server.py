"""Write a tool server of your own: python scripts/new_tool_server.py weather

It is made in the shape of those that are here: package, lock, image, tests with a table of attacks,
its place in compose.yaml, the lists of servers, the policy and the pins. All of it is written, or
nothing. With --stdio it is somebody else's server, behind the bridge. docs/tools.md says what to do
with either. It needs the environment of `make setup`.
Exit codes: 0 it is there, 1 it cannot be made, 2 usage.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

_ROOT = Path(__file__).resolve().parent.parent

try:
    import typer

    from generator.bridge import planned_bridge
    from generator.server import CannotMake, Changes, NewServer, all_or_nothing, planned
except ImportError as error:  # another Python than the project's, or an older environment
    _own = _ROOT / ".venv" / "bin" / "python"
    if not _own.exists() or Path(sys.executable) == _own:
        sys.exit(f"new_tool_server: run make setup first ({error})")
    os.execv(_own, [str(_own), *sys.argv])  # noqa: S606 - the same script

_LEFT = """\
{name} is there: mcp_tools/{name}, port {port}.

    make setup                    # installs it
    make serve                    # the agent calls {name}__look_up; or, in containers:
    docker compose up --build     # make sandbox-check then has a row for {part}

Left to do:
  - what it is for: tools.py and notes.py in mcp_tools/{name}/{module}; tests/unit/{module}
  - after each change of what a tool is called, says or takes: scripts/pin_tools.py --yes
  - its budgets in agent/policy.yaml, and `risk: write` for a tool that changes something
  - a cluster: helm upgrade … -f mcp_tools/{name}/values.yaml
"""


_LEFT_BRIDGE = """\
{name} is there: mcp_tools/{name}, behind the bridge.

    docker compose build {part}
    docker compose run --rm --no-deps -T {part} python -m mcp_bridge definitions > offered.json
    .venv/bin/python scripts/pin_tools.py --add {name} --offered offered.json --yes
    docker compose up --build     # make sandbox-check then has a row for {part}

Left to do:
  - read what pin_tools.py shows before it pins: every tool needs a person's approval for each call
    until agent/policy.yaml says `risk: read`
  - a cluster: helm upgrade … -f mcp_tools/{name}/values.yaml
"""


def main(
    name: Annotated[str, typer.Argument(help="Small letters and hyphens.")],
    stdio: Annotated[
        str, typer.Option(help="A package of others, as name==1.2.3, to run behind the bridge.")
    ] = "",
    run: Annotated[str, typer.Option(help="The command of that package's server.")] = "",
) -> None:
    """Make the server `name`: one of your own, or with --stdio a bridge to somebody else's."""
    try:
        server = make_bridge(_ROOT, name, stdio, run) if stdio or run else make(_ROOT, name)
    except (CannotMake, OSError) as error:
        typer.echo(f"new_tool_server: {error}; nothing was changed", err=True)
        raise typer.Exit(1) from error
    left = _LEFT_BRIDGE if stdio else _LEFT
    typer.echo(
        left.format(name=server.name, part=server.part, module=server.module, port=server.port)
    )


def make(root: Path, name: str) -> NewServer:
    """Make the server in the repository at `root`. Raises `CannotMake` or `OSError`."""
    server, changes = planned(root, name)
    with _written(root, server, changes, "docs/settings.md"):
        _run(root, "the page of settings", sys.executable, "scripts/settings_doc.py")
    return server


def make_bridge(root: Path, name: str, requirement: str, command: str) -> NewServer:
    """Make a bridge in the repository at `root`. Raises `CannotMake` or `OSError`."""
    server, changes = planned_bridge(root, name, requirement, command)
    with _written(root, server, changes):
        return server


@contextmanager
def _written(root: Path, server: NewServer, changes: Changes, *more: str) -> Iterator[None]:
    """The changes and the lock, unless the block fails; it may write `more` files."""
    lock = f"{server.folder}/requirements.lock"
    with all_or_nothing(root, changes, (lock, *more)):
        _run(root, "the lock", "scripts/lock.sh", "--only", server.folder)
        yield


def _run(root: Path, what: str, *command: str) -> None:
    """Run a command of the repository, with every server at hand, installed or not."""
    folders = os.pathsep.join(str(one) for one in (root / "mcp_tools").iterdir() if one.is_dir())
    told = os.environ | {"PYTHONPATH": folders, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=root, env=told, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
        raise CannotMake(f"{what} cannot be written: {last}")


if __name__ == "__main__":
    typer.run(main)
