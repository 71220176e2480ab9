"""What servers are asked with: their keys and certificates, out of files; and where Qdrant is."""

from pathlib import Path

from bulkhead.settings import read_secret
from retriever.index.connect import Server
from retriever.settings import RetrieverSettings


def key_in(path: Path | None) -> str:
    """A neighbour's key, empty where it has none; raises `ValueError`."""
    return read_secret(path) if path else ""


def qdrant_server(settings: RetrieverSettings) -> Server | None:
    """The Qdrant server to use, none for the embedded one; raises `ValueError`."""
    if settings.qdrant_url is None:
        return None
    key = settings.qdrant_api_key_file and read_secret(settings.qdrant_api_key_file)
    return Server(
        urls=tuple(map(str, settings.qdrant_url)),
        api_key=key or None,
        read_timeout=settings.qdrant_read_timeout,
        write_timeout=settings.qdrant_write_timeout,
        root_certificates=certificates(settings.qdrant_ca_file),
    )


def certificates(path: Path | None) -> bytes | None:
    """Certificates, in PEM; raises `ValueError`."""
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from error
