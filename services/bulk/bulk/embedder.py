"""The embedding model in this process, with the interface of a server that embeds."""

import asyncio

from bulkhead.errors import InvalidValue
from embedding.backend import Backend, SentenceTransformerBackend, cores
from embedding.engine import LAUNCH_TOKENS, Engine
from embedding.settings import EmbeddingSettings
from retriever.clients.embedders import PART, Embedded, EmbeddingModel, Kind, Refused


class LocalEmbedder:
    """The code of the embedding service, without the service: the same model, the same vectors."""

    cuts = True
    most_texts = 2048

    def __init__(self, settings: EmbeddingSettings, threads: int, backend: Backend | None = None):
        """Load the model. Raises `OSError` or `ValueError` where it is not there or unusable."""
        self._backend = backend or SentenceTransformerBackend(settings)
        on_gpu = settings.device.startswith("cuda")
        self._engine = Engine(
            self._backend,
            batch_tokens=settings.batch_tokens,
            queue_texts=2**20,
            cache_texts=0,
            launch_tokens=settings.batch_tokens if on_gpu else LAUNCH_TOKENS,
            workers=1 if on_gpu else threads or settings.threads or cores(),
        )
        self._truncate = settings.truncate
        self._starting: asyncio.Task[None] | None = None

    async def model(self, seconds: float) -> EmbeddingModel:
        """The model that was loaded."""
        one = self._backend
        return EmbeddingModel(one.model_id, one.revision, one.dimension, one.max_tokens)

    async def tokenizer(self, seconds: float) -> str:
        """Its tokenizer.json."""
        return self._backend.tokenizer_json

    async def embed(
        self, texts: list[str], kind: Kind, truncate: bool | None, seconds: float
    ) -> Embedded:
        """The vectors of the texts, in order."""
        if self._starting is None:
            self._starting = asyncio.create_task(self._engine.start())
        await self._starting
        try:
            made = await self._engine.embed(
                texts, kind, truncate=self._truncate if truncate is None else truncate
            )
        except InvalidValue as error:
            raise Refused(PART, error.message) from error
        return Embedded(made.vectors, sum(made.tokens))

    async def rerank(self, query: str, documents: list[str], seconds: float) -> list[float]:
        """Not asked of one that takes documents in."""
        raise NotImplementedError

    async def close(self) -> None:
        """End the threads."""
        await self._engine.stop()
