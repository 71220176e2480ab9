"""`python -m retriever`."""

import sys

from pydantic import ValidationError

from bulkhead.app import serve
from bulkhead.private import keep_private
from bulkhead.proxies import spare
from bulkhead.telemetry.disk import watch
from retriever.main import create
from retriever.settings import RetrieverSettings


def main() -> None:
    """Run the retriever with the settings of the environment."""
    spare()  # before the channel to Qdrant is made
    try:
        settings = RetrieverSettings()
        keep_private(settings.data_dir)
        app = create(settings)
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"RETRIEVER_{step}: ".upper() for step in problem["loc"][:1])
        sys.exit(f"retriever: {where}{problem['msg']}")
    except (ValueError, RuntimeError) as error:
        sys.exit(f"retriever: {error}")
    watch(settings.data_dir)
    serve(app, settings)


if __name__ == "__main__":
    main()
