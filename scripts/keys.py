"""Make, list, rotate and revoke API keys of a running retriever."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.api import Retriever
from client.connect import connected
from client.screen import clean, one_line, terminal

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)

Url = Annotated[str | None, typer.Option(help="The retriever; left out, the one of make serve.")]
KeyFile = Annotated[
    Path | None, typer.Option(help="File with an admin's key; left out, the operator's.")
]


class Key(BaseModel):
    """A key as the API lists it."""

    id: str
    tenant: str
    groups: list[str]
    role: str
    name: str
    created_at: str
    revoked_at: str | None


class MadeKey(Key):
    """A key that was just made."""

    key: str


class KeyPage(BaseModel):
    """A page of keys."""

    data: list[Key]
    next_cursor: str | None


class Nothing(BaseModel):
    """A reply without a body."""


@app.command()
def create(
    tenant: Annotated[str, typer.Argument(help="Whose documents it reads.")],
    role: Annotated[str, typer.Option(help="reader, writer or admin.")] = "reader",
    group: Annotated[list[str] | None, typer.Option(help="May be given several times.")] = None,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    url: Url = None,
    key_file: KeyFile = None,
) -> None:
    """Make a key, and show it this once."""
    console = terminal()
    body = {"tenant": tenant, "role": role, "groups": group or [], "name": name}
    with connected(console, url, key_file) as retriever:
        _show(retriever.call(MadeKey, "POST", "/v1/keys", json=body), console)


@app.command("list")
def list_keys(url: Url = None, key_file: KeyFile = None) -> None:
    """List the keys of the tenant; the operator's key lists those of all tenants."""
    console = terminal()
    table = Table(box=None)
    table.add_column("id", no_wrap=True, min_width=36)  # whole, to be given to the other commands
    for column in ("tenant", "groups", "role", "name", "created", "revoked"):
        table.add_column(column, overflow="fold")
    with connected(console, url, key_file) as retriever:
        for key in _all(retriever):
            table.add_row(
                key.id,
                Text(clean(key.tenant)),
                Text(clean(" ".join(key.groups))),
                key.role,
                Text(one_line(key.name, 60)),
                key.created_at[:19],
                (key.revoked_at or "")[:19],
            )
    console.print(table)


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    url: Url = None,
    key_file: KeyFile = None,
) -> None:
    """Give an id a new key, and show it this once; the old one ends at once."""
    console = terminal()
    with connected(console, url, key_file) as retriever:
        _show(retriever.call(MadeKey, "POST", f"/v1/keys/{_id(key_id)}/rotate"), console)


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Its id, as `list` shows it.")],
    url: Url = None,
    key_file: KeyFile = None,
) -> None:
    """End a key, at once and for good."""
    console = terminal()
    with connected(console, url, key_file) as retriever:
        retriever.call(Nothing, "DELETE", f"/v1/keys/{_id(key_id)}")
    console.print(Text(f"  {key_id} is revoked"))


def _id(key_id: str) -> str:
    """The id, if it can stand in a path: anything else would name another endpoint."""
    if not key_id.replace("_", "").isalnum() or not key_id.isascii():
        raise typer.BadParameter("it is not an id of a key", param_hint="KEY_ID")
    return key_id


def _all(retriever: Retriever) -> list[Key]:
    keys: list[Key] = []
    cursor: dict[str, str] = {}
    while True:
        page = retriever.call(KeyPage, "GET", "/v1/keys", params={"limit": "1000", **cursor})
        keys += page.data
        if page.next_cursor is None:
            return keys
        cursor = {"cursor": page.next_cursor}


def _show(made: MadeKey, console: Console) -> None:
    groups = f", groups {' '.join(made.groups)}" if made.groups else ""
    console.print(Text(clean(f"  {made.id}: {made.role} of the tenant {made.tenant}{groups}")))
    console.print(Text(f"  {made.key}", style="bold"), soft_wrap=True)
    console.print("  This key is shown once; it is kept as a hash alone.")


if __name__ == "__main__":
    app()
