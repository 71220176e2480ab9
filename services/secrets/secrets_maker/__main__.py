"""`python -m secrets_maker`: make what is missing, say where it is, end."""

import sys
from pathlib import Path

from secrets_maker.make import make
from secrets_maker.plan import PLAN


def main() -> None:
    """Make the secrets of the plan in the volumes mounted here."""
    try:
        made = make(PLAN, Path("/masters"), Path("/volumes"))
    except OSError as error:
        sys.exit(f"secrets: {error.strerror}: {Path(str(error.filename)).name}")
    print(f"made {', '.join(made)}" if made else "all secrets are there")  # noqa: T201


if __name__ == "__main__":
    main()
