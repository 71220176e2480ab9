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

from fetcher.model import FetchError
from fetcher.settings import FetcherSettings
from fetcher.sources import bring_one
from fetcher.store import Store


def say(line: str) -> None:
    """A line for whoever follows the log."""
    print(f"models: {line}", flush=True)  # noqa: T201


def bring(settings: FetcherSettings) -> None:
    """Every wanted model, whole, under its role. Raises `FetchError`, `ValueError`, `OSError`."""
    wanted, store = settings.wanted(), Store(settings.folder)
    with store.alone():
        for model in wanted:
            if store.has(model):
                say(f"{model} is here")
            else:
                say(f"{model} came from {bring_one(model, store, settings, say)}")
            store.point(model)


def main() -> None:
    """Bring the models of the settings."""
    try:
        bring(FetcherSettings())
    except ValidationError as error:
        problem = error.errors()[0]
        sys.exit(f"models: FETCHER_{str(problem['loc'][0]).upper()}: {problem['msg']}")
    except KeyboardInterrupt:
        sys.exit("models: interrupted; what has come so far is kept")
    except (FetchError, ValueError) as error:
        sys.exit(f"models: {error}")
    except OSError as error:
        what = Path(str(error.filename)).name if error.filename else "the folder of models"
        sys.exit(f"models: {what}: {error.strerror or error}")


if __name__ == "__main__":
    main()
