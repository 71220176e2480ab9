"""A backup's folder: files of age, each compressed and encrypted as it is written.

The manifest is encrypted for whoever may restore, by a passphrase or a recipient of age. It holds
the size and SHA-256 of each other file, and the key that these are encrypted with: so they belong
together, and what was changed is found before it is used. Nothing is ever written in the clear.
"""

import gzip
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyrage

from bulkhead.settings import read_secret
from retriever.index.collection import Stamp

FORMAT = 1
"""Of the folder; raised when a release writes it otherwise."""
_MANIFEST = "manifest.age"
_RECIPIENT, _IDENTITY = "age1", "AGE-SECRET-KEY-"
_LEAST_PASSPHRASE = 16
_BLOCK = 2**20


class BackupError(Exception):
    """Why there is no backup, or it cannot be used: one line for a person."""


@dataclass(frozen=True)
class Lock:
    """Who may open a backup: a passphrase, or a recipient or an identity of age."""

    secret: str

    @classmethod
    def read(cls, path: Path) -> "Lock":
        """What is in the file. Raises `BackupError`."""
        try:
            lines = read_secret(path).splitlines()
        except ValueError as error:
            raise BackupError(str(error)) from error
        # What age-keygen writes begins with remarks.
        told = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if len(told) != 1:
            raise BackupError(f"{path.name}: it has to hold one passphrase, recipient or identity")
        (secret,) = told
        try:
            if secret.startswith(_RECIPIENT):
                pyrage.x25519.Recipient.from_str(secret)
            elif secret.startswith(_IDENTITY):
                pyrage.x25519.Identity.from_str(secret)
            elif len(secret) < _LEAST_PASSPHRASE:
                raise BackupError(
                    f"{path.name}: a passphrase has {_LEAST_PASSPHRASE} or more characters"
                )
        except (pyrage.RecipientError, pyrage.IdentityError) as error:
            raise BackupError(f"{path.name}: no whole recipient or identity of age") from error
        return cls(secret)

    def close(self, data: bytes) -> bytes:
        """Encrypt it."""
        if self.secret.startswith(_RECIPIENT):
            return bytes(pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(self.secret)]))
        if self.secret.startswith(_IDENTITY):
            identity = pyrage.x25519.Identity.from_str(self.secret)
            return bytes(pyrage.encrypt(data, [identity.to_public()]))
        return bytes(pyrage.passphrase.encrypt(data, self.secret))

    def open(self, data: bytes) -> bytes:
        """Decrypt it. Raises `BackupError`."""
        if self.secret.startswith(_RECIPIENT):
            raise BackupError("a recipient can only write backups: give the identity's file")
        try:
            if self.secret.startswith(_IDENTITY):
                identity = pyrage.x25519.Identity.from_str(self.secret)
                return bytes(pyrage.decrypt(data, [identity]))
            return bytes(pyrage.passphrase.decrypt(data, self.secret))
        except pyrage.DecryptError as error:
            raise BackupError(
                f"{_MANIFEST} cannot be opened: it was changed, or this is not its key"
            ) from error


@dataclass
class Writing:
    """A backup that is being written."""

    folder: Path
    identity: Any = field(default_factory=pyrage.x25519.Identity.generate)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def file(self, name: str) -> Iterator[gzip.GzipFile]:
        """A file of the backup: what is written here is in it, encrypted."""
        path = self.folder / f"{name}.age"
        recipient = [self.identity.to_public()]
        with path.open("xb") as file:
            path.chmod(0o600)
            counted = _Counted(file)
            with (
                _passing(lambda source: pyrage.encrypt_io(source, counted, recipient)) as sink,
                gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=1, mtime=0) as packed,
            ):
                yield packed
            file.flush()
            os.fsync(file.fileno())
        self.files[path.name] = {"bytes": counted.size, "sha256": counted.digest.hexdigest()}


@contextmanager
def writing(folder: Path, lock: Lock) -> Iterator[Writing]:
    """A new backup in `folder`, which is there once it is whole: on any failure nothing is left.

    Raises `BackupError` where something is there.
    """
    if folder.exists():
        raise BackupError(f"{folder} is there already")
    partial = folder.with_name(f"{folder.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(partial, ignore_errors=True)  # of one that was killed: all in it is encrypted
    partial.mkdir(mode=0o700)
    try:
        backup = Writing(partial)
        yield backup
        told = {
            "format": FORMAT,
            **backup.manifest,
            "files": backup.files,
            "key": str(backup.identity),
        }
        manifest = partial / _MANIFEST
        manifest.touch(mode=0o600)
        with manifest.open("wb") as file:
            file.write(lock.close(json.dumps(told).encode()))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


class Backup:
    """A backup that is there, whole as its manifest says."""

    def __init__(self, folder: Path, lock: Lock) -> None:
        """Open it and check every file. Raises `BackupError`."""
        try:
            told = lock.open((folder / _MANIFEST).read_bytes())
        except OSError as error:
            raise BackupError(f"{folder} is no backup: {error.strerror}") from error
        self.manifest: dict[str, Any] = json.loads(told)
        if self.manifest["format"] != FORMAT:
            raise BackupError("another release wrote the backup, in a form that this does not read")
        self._folder = folder
        self._identity = pyrage.x25519.Identity.from_str(self.manifest["key"])
        for name, file in self.manifest["files"].items():
            self._check(name, file)

    @property
    def stamp(self) -> Stamp | None:
        """What the chunks were written with; none where there was no chunk yet."""
        told = self.manifest["stamp"]
        return Stamp(**told) if told else None

    def _check(self, name: str, told: dict[str, Any]) -> None:
        digest, size = hashlib.sha256(), 0
        try:
            with (self._folder / name).open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    size += len(block)
        except OSError as error:
            raise BackupError(f"{name} cannot be read: {error.strerror}") from error
        if size != told["bytes"]:
            raise BackupError(f"{name} has {size} bytes, and had {told['bytes']}")
        if digest.hexdigest() != told["sha256"]:
            raise BackupError(f"{name} was changed: its SHA-256 is another")

    @contextmanager
    def file(self, name: str) -> Iterator[gzip.GzipFile]:
        """A file's content."""
        with (self._folder / f"{name}.age").open("rb") as file:
            identities = [self._identity]
            with (
                _drawn(lambda sink: pyrage.decrypt_io(file, sink, identities)) as source,
                gzip.GzipFile(fileobj=source, mode="rb") as unpacked,
            ):
                yield unpacked


class _Counted:
    """A file that knows what was written to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest, self.size = hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


@contextmanager
def _passing(work: Callable[[IO[bytes]], object]) -> Iterator[IO[bytes]]:
    """A file to write to, whose content a thread reads in `work`; done when the block ends."""
    with _thread() as (run, source, sink):
        run(work, source)
        yield sink


@contextmanager
def _drawn(work: Callable[[IO[bytes]], object]) -> Iterator[IO[bytes]]:
    """A file to read from, whose content a thread writes in `work`."""
    with _thread() as (run, source, sink):
        run(work, sink)
        yield source


@contextmanager
def _thread() -> Iterator[tuple[Callable[..., None], IO[bytes], IO[bytes]]]:
    """A pipe, and how to start a thread that has one end of it. What it raises is raised here."""
    reading, writing = os.pipe()
    source, sink = os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
    failed: list[BaseException] = []
    threads: list[threading.Thread] = []
    ours: list[IO[bytes]] = [source, sink]

    def run(work: Callable[[IO[bytes]], object], end: IO[bytes]) -> None:
        def body() -> None:
            try:
                with end:
                    work(end)
            except BaseException as error:
                failed.append(error)

        ours.remove(end)
        threads.append(threading.Thread(target=body, daemon=True))
        threads[-1].start()

    broken: OSError | None = None
    try:
        try:
            yield run, source, sink
        finally:
            for end in ours:
                try:
                    end.close()
                except OSError as error:
                    broken = error
            for thread in threads:
                thread.join()
        if broken and not failed:
            raise broken
    except OSError as error:  # the thread's end of the pipe is gone: it knows why
        if failed:
            raise _told(failed[0]) from error
        raise
    if failed:
        raise _told(failed[0])


def _told(error: BaseException) -> BaseException:
    if isinstance(error, pyrage.DecryptError | pyrage.EncryptError):
        return BackupError(f"a file cannot be decrypted: {error}")
    return error
