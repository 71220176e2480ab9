"""PostgreSQL for a bench: of the embedded mode's, in a folder, on a port."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from embedded import state_database
from embedded.postgres import new_password, running


@contextmanager
def database(folder: Path, port: int) -> Iterator[dict[str, str]]:
    """The retriever's database below `folder`; what the retriever must be told of it."""
    admin, own = new_password(), new_password()
    password = folder / "database-password"
    password.write_text(own, encoding="ascii")
    with running(folder / "postgres", port, admin):
        asyncio.run(state_database.ensure(port, admin, own))
        yield {
            "RETRIEVER_DATABASE_URL": f"postgresql://retriever@127.0.0.1:{port}/retriever",
            "RETRIEVER_DATABASE_PASSWORD_FILE": str(password),
        }
