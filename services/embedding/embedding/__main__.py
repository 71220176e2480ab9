"""`python -m embedding`."""

import sys

from pydantic import ValidationError

from bulkhead.app import serve
from embedding.backend import SentenceTransformerBackend
from embedding.main import create
from embedding.settings import EmbeddingSettings


def main() -> None:
    """Load the model and serve it, with the settings of the environment."""
    try:
        settings = EmbeddingSettings()
        backend = SentenceTransformerBackend(settings)
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(f"embedding: EMBEDDING_{str(problem['loc'][0]).upper()}: {problem['msg']}")
    except (OSError, ValueError) as error:
        sys.exit(f"embedding: the model cannot be loaded: {error}")
    serve(create(settings, backend), settings)


if __name__ == "__main__":
    main()
