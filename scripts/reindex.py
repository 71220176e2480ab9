"""Embed all chunks anew, into a collection that then takes the old one's place.

The way to another embedding model, or another language of the words: give the retriever's settings
as they are to be. Searches and uploads go on meanwhile where Qdrant is a server; where it is
embedded the stack is stopped, and an embedding service runs alone.
"""

import asyncio
from typing import Annotated

import typer
from rich.text import Text

from backing_up.reindex import Reindex
from backing_up.stack import meant, serving, told
from client.screen import terminal
from retriever.database import Database, database_url
from retriever.index.connect import connect
from retriever.parts import bm25, chunks, embedding_client, http_session, stamp
from retriever.servers import key_in, qdrant_server
from retriever.settings import RetrieverSettings


def main(
    remove_former: Annotated[
        bool,
        typer.Option("--remove-former", help="Embed nothing: remove the collections before."),
    ] = False,
) -> None:
    """Do it, or go on where a run was ended."""
    with told("reindex"):
        settings, postgres = meant()
        with serving(postgres, settings):
            words = asyncio.run(_run(settings, remove_former))
    _say(words)


async def _run(settings: RetrieverSettings, remove_former: bool) -> str:
    client = connect(qdrant_server(settings), settings.data_dir / "qdrant")
    url = database_url(settings.database_url, settings.database_password_file)
    try:
        async with Database.open(url) as database, http_session(settings) as http:
            embedding = embedding_client(settings, http, key_in(settings.embedding_api_key_file))
            vectors = chunks(settings, client)
            if remove_former:
                gone = await Reindex.remove_former(database, client, settings.collection)
                return f"removed: {', '.join(gone) or 'nothing'}"
            written = await stamp(settings, embedding)
            work = Reindex(
                database,
                client,
                vectors,
                embedding,
                bm25(settings),
                written,
                settings.collection,
                _say,
            )
            name = await work.run()
            return (
                f"chunks are in {name} now; start retrievers and workers that embed otherwise anew"
            )
    finally:
        await client.close()


def _say(words: str) -> None:
    terminal().print(Text(f"  {words}"), soft_wrap=True)


if __name__ == "__main__":
    typer.run(main)
