"""`python -m fetcher`: bring what is missing, point each role to its model, end."""

import os
import sys
from pathlib import Path

# Read when the hub's library is imported. Plain HTTP is resumed by byte range; our own lines tell
# the progress.
os.environ |= {
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

from pydantic import ValidationError

from fetcher.bundle import unpack
from fetcher.hub import Hub
from fetcher.model import BUNDLED, FetchError
from fetcher.progress import Progress
from fetcher.settings import FetcherSettings
from fetcher.store import Store


def say(line: str) -> None:
    """A line for whoever follows the log."""
    print(f"models: {line}", flush=True)  # noqa: T201


def bring(settings: FetcherSettings) -> None:
    """Every wanted model, whole, under its role. Raises `FetchError`, `ValueError`, `OSError`."""
    store = Store(settings.folder)
    for model in settings.wanted():
        if store.has(model):
            say(f"{model} is here")
        elif model.revision == BUNDLED:
            unpack(model, settings.bundle, store)
            say(f"{model} unpacked")
        else:
            with Progress(say) as progress:
                Hub(store, settings.hub, settings.token()).fetch(model, progress.watch)
            say(f"{model} is complete and matches the hub's checksums")
        store.point(model)


def main() -> None:
    """Bring the models of the settings."""
    try:
        bring(FetcherSettings())
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(f"models: FETCHER_{str(problem['loc'][0]).upper()}: {problem['msg']}")
    except (FetchError, ValueError) as error:
        sys.exit(f"models: {error}")
    except OSError as error:
        what = Path(str(error.filename)).name if error.filename else "the folder of models"
        sys.exit(f"models: {what}: {error.strerror or error}")


if __name__ == "__main__":
    main()
