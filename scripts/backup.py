"""Make, try and restore backups: documents, index, keys, jobs and all else the retriever keeps.

By default of the stack of `make serve`; of another with the settings that its retriever has, as
RETRIEVER_DATABASE_URL and RETRIEVER_QDRANT_URL.
"""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text
from sqlalchemy import URL

from backing_up.archive import Backup, Lock
from backing_up.create import create as make
from backing_up.restore import restore as bring_back
from backing_up.scratch import scratch
from backing_up.stack import meant, serving, told
from backing_up.verify import Verified, fitting
from backing_up.verify import verify as try_out
from bulkhead.errors import Unavailable
from client.screen import terminal
from retriever.database import database_url
from retriever.index.connect import connect
from retriever.parts import chunks, embedding_client, http_session, stamp
from retriever.servers import key_in, qdrant_server
from retriever.settings import RetrieverSettings

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="The backup.")]
KeyFile = Annotated[
    Path,
    typer.Option(
        help="File with a passphrase, or with a recipient (age1…) of age to make backups, and its"
        " identity (AGE-SECRET-KEY-1…) to open them."
    ),
]


@app.command()
def create(
    folder: Annotated[Path, typer.Argument(help="Where it is put; nothing may be there.")],
    key_file: KeyFile,
) -> None:
    """Make a backup, while all goes on."""
    with told("backup"):
        settings, _ = meant()
        manifest = asyncio.run(make(folder, Lock.read(key_file), settings))
    documents = sum(one["documents"] for one in manifest["tenants"].values())
    size = sum(one["bytes"] for one in manifest["files"].values())
    _say(
        f"{folder}: {documents} documents, {manifest['points']} chunks, {size / 2**20:.1f} MiB;"
        f" deletions waited {manifest['held_seconds']} s"
    )


@app.command()
def verify(folder: Folder, key_file: KeyFile) -> None:
    """Restore it into an empty place that is removed again, and ask there for what was in it."""
    with told("backup"):
        settings, _ = meant()
        backup = Backup(folder, Lock.read(key_file))
        with scratch() as (url, place):
            done = asyncio.run(_verify(settings, backup, url, place))
    legs = "words and meaning" if done.by_meaning else "words (no embedding service of its model)"
    _say(
        f"{folder}: {done.documents} documents and {done.points} chunks come back;"
        f" {done.quotes} quotes are the same byte for byte, {done.canaries} chunks are found by"
        f" {legs}, {done.revoked} revoked keys stay so"
    )


@app.command()
def restore(folder: Folder, key_file: KeyFile) -> None:
    """Bring it into an empty database and an empty Qdrant, while no retriever runs on them."""
    with told("backup"):
        settings, postgres = meant()
        backup = Backup(folder, Lock.read(key_file))
        with serving(postgres, settings):
            written = asyncio.run(_restore(settings, backup))
    _say(f"{folder}: restored, {written} chunks; start the stack")


async def _verify(settings: RetrieverSettings, backup: Backup, url: URL, place: Path) -> Verified:
    async with http_session(settings) as http:
        embedding = embedding_client(settings, http, key_in(settings.embedding_api_key_file))
        there = await fitting(embedding, backup.stamp)
        return await try_out(backup, url, place, embedding if there else None)


async def _restore(settings: RetrieverSettings, backup: Backup) -> int:
    url = database_url(settings.database_url, settings.database_password_file)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    client = connect(qdrant_server(settings), settings.data_dir / "qdrant")
    try:
        async with http_session(settings) as http:
            embedding = embedding_client(settings, http, key_in(settings.embedding_api_key_file))
            try:
                expected = await stamp(settings, embedding)
            except Unavailable:
                expected = None  # the retriever looks at its start
            vectors = chunks(settings, client)
            return await bring_back(backup, url, client, vectors, settings.collection, expected)
    finally:
        await client.close()


def _say(words: str) -> None:
    terminal().print(Text(f"  {words}"), soft_wrap=True)


if __name__ == "__main__":
    app()
