"""The documents of a folder into a stack that has none: once, and never beside anybody's own."""

import mimetypes
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2

_ONCE = "the examples of the containers"
"""The Idempotency-Key: by it the retriever knows that they came before."""
_LOOK_SECONDS = 0.5
_ENDED = ("succeeded", "partial", "failed", "cancelled")


class ExamplesError(Exception):
    """The documents are not in; one line for a person."""


def documents(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a folder with its path there, which is its source."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def take_in(api: httpx2.Client, folder: Path, patience: float) -> str:
    """Hand the documents in, unless people were here before; what was done, in words.

    Waits until they are in, for at most `patience` seconds. Raises `ExamplesError`, `OSError`.
    """
    if _get(api, "/v1/documents", limit=1)["data"]:
        return "documents are in already"
    if _get(api, "/v1/keys", limit=1)["data"]:
        return "people have made keys here: the examples stay out"
    files = list(documents(folder))
    with ExitStack() as opened:
        fields = [
            ("files", (name, opened.enter_context(path.open("rb")), _kind(name)))
            for name, path in files
        ]
        reply = api.post("/v1/documents", files=fields, headers={"Idempotency-Key": _ONCE})
    if reply.status_code == httpx2.codes.CONFLICT:  # another release's
        return "the examples were taken in before"
    job = _told(reply)
    if job["state"] in _ENDED:
        return "the examples were taken in before"
    job = _ended(api, job, time.monotonic() + patience)
    counts = job["counts"]
    if counts["failed"] or job["state"] != "succeeded":
        why = job["errors"][0]["message"] if job["errors"] else job["state"]
        raise ExamplesError(f"{counts['failed']} of {counts['total']} documents failed: {why}")
    return f"{counts['total']} documents are in"


def missing(api: httpx2.Client, patience: float) -> list[str]:
    """The parts that are not up after at most `patience` seconds, each with its reason."""
    deadline = time.monotonic() + patience
    while True:
        try:
            told = api.get("/readyz").json()
            down = [
                f"{name}: {one['detail']}"
                for name, one in told["parts"].items()
                if one["state"] == "down"
            ]
        except (httpx2.HTTPError, ValueError, KeyError) as error:
            down = [f"retriever: {error!r}"]
        if not down or time.monotonic() > deadline:
            return down
        time.sleep(_LOOK_SECONDS)


def _kind(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _ended(api: httpx2.Client, job: dict[str, Any], deadline: float) -> dict[str, Any]:
    while job["state"] not in _ENDED:
        if time.monotonic() > deadline:
            raise ExamplesError(f"the documents are not in yet: {job['counts']}")
        time.sleep(_LOOK_SECONDS)
        job = _get(api, f"/v1/jobs/{job['id']}")
    return job


def _get(api: httpx2.Client, path: str, **query: int) -> dict[str, Any]:
    return _told(api.get(path, params=query))


def _told(reply: httpx2.Response) -> dict[str, Any]:
    """The JSON of a reply that is a yes."""
    if not reply.is_success:
        raise ExamplesError(f"the retriever says {reply.status_code}: {reply.text[:200]}")
    told: dict[str, Any] = reply.json()
    return told
