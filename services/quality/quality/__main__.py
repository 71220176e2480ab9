"""`python -m quality`."""

import sys

from pydantic import ValidationError

from bulkhead.app import serve
from quality.main import create
from quality.settings import QualitySettings


def main() -> None:
    """Run the quality service with the settings of the environment."""
    try:
        settings = QualitySettings()
        app = create(settings)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"QUALITY_{step}: ".upper() for step in problem["loc"][:1])
        sys.exit(f"quality: {where}{problem['msg']}")
    except (OSError, ValueError) as error:
        sys.exit(f"quality: {error}")
    serve(app, settings)


if __name__ == "__main__":
    main()
