"""`python -m retriever`: answers. `ingest`: takes documents in. `migrate`: brings the schema up.
`import FOLDER`: takes over what the release with SQLite kept there."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI
from pydantic import ValidationError

from bulkhead.app import serve
from bulkhead.errors import Unavailable
from bulkhead.private import keep_private
from bulkhead.proxies import spare
from bulkhead.telemetry.disk import watch
from retriever.database import Database, database_url
from retriever.settings import RetrieverSettings


def main() -> None:
    """Do what the command says, with the settings of the environment."""
    spare()  # before the channel to Qdrant is made
    command, *words = sys.argv[1:] or [""]
    do = _COMMANDS.get(command)
    if do is None or len(words) != (command == "import"):
        sys.exit("retriever: the commands are `ingest`, `migrate` and `import FOLDER`, or none")
    try:
        do(RetrieverSettings(), *words)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"RETRIEVER_{step}: ".upper() for step in problem["loc"][:1])
        sys.exit(f"retriever: {where}{problem['msg']}")
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"retriever: {error}")
    except Unavailable as error:
        sys.exit(f"retriever: {error.message}")


def _answer(settings: RetrieverSettings) -> None:
    from retriever.main import create

    keep_private(settings.data_dir)
    _serve(create, settings)


def _ingest(settings: RetrieverSettings) -> None:
    from retriever.ingest.worker import create

    _serve(create, settings)


def _serve(create: Callable[[RetrieverSettings], FastAPI], settings: RetrieverSettings) -> None:
    app = create(settings)
    if settings.data_dir.is_dir():
        watch(settings.data_dir)
    serve(app, settings)


def _migrate(settings: RetrieverSettings) -> None:
    async def migrated() -> bool:
        database = Database(database_url(settings.database_url, settings.database_password_file))
        try:
            return await database.migrate()
        finally:
            await database.close()

    done = asyncio.run(migrated())
    sys.stdout.write("the schema was brought up\n" if done else "the schema is up to date\n")


def _import(settings: RetrieverSettings, folder: str) -> None:
    from retriever.state.upgrade import take_over

    async def taken() -> str:
        url = database_url(settings.database_url, settings.database_password_file)
        async with Database.open(url) as database:
            return await take_over(database, Path(folder), settings.collection)

    sys.stdout.write(f"{asyncio.run(taken())}\n")


_COMMANDS: dict[str, Callable[..., None]] = {
    "": _answer,
    "ingest": _ingest,
    "migrate": _migrate,
    "import": _import,
}


if __name__ == "__main__":
    main()
