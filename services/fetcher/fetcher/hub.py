"""A model from the hub: listed, checked for room, fetched with resumption, compared by hash."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from errno import ENOSPC
from fnmatch import fnmatch
from pathlib import Path

import httpx2
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling

from fetcher.model import FetchError, Model, Unavailable
from fetcher.store import Store, blob_id, held, sha256

# Weights as plain numbers and what describes them: no pickle and no code, which could run.
_WANTED = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja")
_FOREIGN = ("onnx/*", "openvino/*", "original/*", "gguf/*")


class Hub:
    """Fetches models from one hub."""

    def __init__(self, store: Store, address: str | None, token: str | None) -> None:
        self._store = store
        self._address = address
        self._token: str | bool = token or False
        self._api = HfApi(endpoint=address, token=self._token)

    def fetch(self, model: Model, watch: Callable[[Model, Path, int], None]) -> None:
        """Bring all of the model into the store. What came before a failure is kept for the next.

        `watch(model, folder, total_bytes)` is called before the first byte. Raises `Unavailable`
        where the hub does not have it or is not reached, else `FetchError`.
        """
        folder = self._store.path(model)
        with _in_words(model):
            files = self._files(model)
            sizes = {file.rfilename: file.size or 0 for file in files}
            folder.mkdir(parents=True, exist_ok=True)
            self._store.room(sum(sizes.values()) - held(folder), model)
            watch(model, folder, sum(sizes.values()))
            for file in files:
                self._file(model, folder, file)
            self._store.complete(model, sizes)

    def _files(self, model: Model) -> list[RepoSibling]:
        info = self._api.model_info(
            model.name, revision=model.revision, files_metadata=True, timeout=30
        )
        files = [
            file
            for file in info.siblings or []
            if (file.rfilename == model.file if model.file else _is_wanted(file.rfilename))
        ]
        if model.file:
            if not files:
                raise Unavailable(f"{model.name} has no file {model.file} at {model.revision[:12]}")
        elif not any(file.rfilename.endswith(".safetensors") for file in files):
            raise FetchError(
                f"{model} has no weights in safetensors; other forms can run code when they are"
                " read, and are not fetched: choose another model"
            )
        return files

    def _file(self, model: Model, folder: Path, file: RepoSibling) -> None:
        """One file, compared with what is known of it, or else with what the hub lists."""
        path = Path(
            hf_hub_download(
                model.name,
                file.rfilename,
                revision=model.revision,
                local_dir=folder,
                endpoint=self._address,
                token=self._token,
            )
        )
        expected = model.known.sha256 if model.known else file.lfs and file.lfs.sha256
        same = sha256(path) == expected if expected else blob_id(path) == file.blob_id
        if not same:
            path.unlink()
            raise FetchError(
                f"{file.rfilename} of {model} came damaged and was removed: start again"
            )


def _is_wanted(name: str) -> bool:
    return any(fnmatch(name, wanted) for wanted in _WANTED) and not any(
        fnmatch(name, foreign) for foreign in _FOREIGN
    )


@contextmanager
def _in_words(model: Model) -> Iterator[None]:
    """What the hub's client raises, as one line that says what to do."""
    try:
        yield
    except GatedRepoError as error:
        raise Unavailable(
            f"{model.name} is gated: accept its terms on its page at the hub, put a token of that"
            " account into a file and its path into HF_TOKEN_FILE"
        ) from error
    except RevisionNotFoundError as error:
        raise Unavailable(f"{model.name} has no commit {model.revision}") from error
    except RepositoryNotFoundError as error:
        raise Unavailable(
            f"the hub knows no model {model.name}; for a private one set HF_TOKEN_FILE"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        raise Unavailable(f"the hub answered {status} for {model}: start again later") from error
    except (OfflineModeIsEnabled, LocalEntryNotFoundError, httpx2.TransportError) as error:
        raise Unavailable(
            f"the hub cannot be reached for {model}; what has come so far is kept. Start again"
            " with a way to the internet"
        ) from error
    except OSError as error:
        if error.errno == ENOSPC:
            raise FetchError(
                f"the disk is full; what has come of {model} is kept: make room, then start again"
            ) from error
        raise
