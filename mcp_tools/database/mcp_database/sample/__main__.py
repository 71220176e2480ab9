"""`python -m mcp_database.sample`: make the sample database, or see that it is there."""

import asyncio
import sys
from pathlib import Path

import asyncpg
from pydantic import Field, ValidationError

from bulkhead.settings import read_secret
from mcp_database.sample.load import load
from mcp_database.settings import DatabaseAddress


class SampleSettings(DatabaseAddress):
    """The server's settings, and who may make databases and roles there."""

    admin_user: str = Field("postgres", description="A superuser, for making the sample database.")
    admin_password_file: Path = Field(description="File with the password of that superuser.")


def main() -> None:
    """Load with the settings of the environment; one line says what was done."""
    try:
        settings = SampleSettings()
        password = read_secret(settings.admin_password_file)
        written = asyncio.run(load(settings, settings.admin_user, password))
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(f"sample: MCP_DATABASE_{str(problem['loc'][0]).upper()}: {problem['msg']}")
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        sys.exit(f"sample: the database cannot be made: {error}")
    print("the sample database was written" if written else "the sample database is up to date")  # noqa: T201


if __name__ == "__main__":
    main()
