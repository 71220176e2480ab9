"""The search as LangChain's `BaseRetriever`, so that a fork can put another in its place."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from bulkhead.auth import Principal
from retriever.index.model import Hit, Scores
from retriever.report import Report
from retriever.search import Context, Searcher, SearchOptions


class HybridRetriever(BaseRetriever):
    """One principal's search, for one question."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    searcher: Searcher
    principal: Principal
    limit: int
    options: SearchOptions
    report: Report
    context: Sequence[Context] = ()
    """What the question is searched for with."""

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        hits = await self.searcher.search(
            self.principal, query, self.limit, self.options, self.report, self.context
        )
        return [to_document(hit) for hit in hits]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        raise TypeError("this retriever is asynchronous: use ainvoke")


def to_document(hit: Hit) -> Document:
    """A hit as LangChain's document: its text, and all else as metadata."""
    metadata: dict[str, Any] = asdict(hit)
    return Document(id=hit.chunk_id, page_content=metadata.pop("text"), metadata=metadata)


def to_hit(document: Document) -> Hit:
    """The hit behind a document. Another retriever's documents need the same metadata, but for
    the scores, which may be missing."""
    metadata = dict(document.metadata)
    scores = Scores(**metadata.pop("scores", {}))
    known = {key: metadata[key] for key in Hit.__dataclass_fields__ if key in metadata}
    return Hit(**known, text=document.page_content, scores=scores)
