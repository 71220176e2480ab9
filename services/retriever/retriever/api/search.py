"""`POST /v1/search`: the chunks that fit a query best."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from bulkhead.errors import InvalidValue
from retriever.api.body import JsonRoute
from retriever.api.deps import EventDep, Reader, StackDep
from retriever.api.filter_schema import Filter
from retriever.index.filters import read
from retriever.index.model import Hit, Mode
from retriever.report import Report
from retriever.search import SearchOptions
from retriever.settings import RetrieverSettings

router = APIRouter(tags=["search"], route_class=JsonRoute)

TopK = Annotated[int, Field(ge=1, le=100, description="How many chunks.")]


class RetrievalFields(BaseModel):
    """How to search; the same in a search and in the `rag` object of a chat."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode = Field(Mode.HYBRID, description="Both legs fused, or one alone.")
    rerank: bool = Field(False, description="Let the reranking model order what was found.")
    filters: Filter | None = None

    def options(self, settings: RetrieverSettings) -> SearchOptions:
        """As the search takes it. Raises `InvalidValue` for filters that make no sense."""
        filters = read(self.filters, settings.metadata_indexes)
        return SearchOptions(self.mode, self.rerank, filters)


class SearchRequest(RetrievalFields):
    """A query and how to search for it."""

    query: str = Field(min_length=1, examples=["Which port does the retriever listen on?"])
    top_k: TopK = 10


class LegScores(BaseModel):
    """A chunk's score on each leg: null where the leg did not run or did not bring the chunk."""

    dense: float | None = Field(description="Cosine of the embeddings.")
    sparse: float | None = Field(description="BM25 with inverse document frequency.")
    rerank: float | None = Field(description="The reranking model's own score.")
    exact: int | None = Field(
        description="How many of the query's identifiers (3.7.2, HX-2041-B) the text holds as they"
        " are written; results come by it first. None where the query has none."
    )


class SearchResult(BaseModel):
    """A chunk. `text` is `start:end`, in code points, of its document's extracted text."""

    chunk_id: str
    document_id: str
    title: str
    source: str
    page: int | None
    start: int
    end: int
    text: str
    table_header: str = Field(
        description="The header of the table among whose rows the text begins; empty elsewhere."
    )
    score: float
    scores: LegScores


class SearchResponse(BaseModel):
    """The chunks, best first, what had to be done without, and the time of each stage in ms."""

    results: list[SearchResult]
    degraded: list[str]
    timings: dict[str, float]


@router.post("/v1/search", name="search", summary="Find chunks")
async def search(
    body: SearchRequest, principal: Reader, stack: StackDep, event: EventDep
) -> SearchResponse:
    """The chunks that fit the query best, among the documents that the caller may see."""
    query = usable_text(body.query, "query", stack.settings)
    options = body.options(stack.settings)
    report = Report()
    hits = await stack.searcher.search(principal, query, body.top_k, options, report)
    report.finish()
    event.documents += [hit.document_id for hit in hits]
    return SearchResponse(
        results=[result(hit) for hit in hits], degraded=report.degraded, timings=report.timings
    )


def result(hit: Hit) -> SearchResult:
    """A hit in the API's shape."""
    return SearchResult.model_validate(hit, from_attributes=True)


def usable_text(text: str, field: str, settings: RetrieverSettings) -> str:
    """`text`, if it can be searched for; raises `InvalidValue` naming `field` when it cannot."""
    if not text.strip():
        raise InvalidValue(f"{field}: it is empty")
    if len(text) > settings.max_query_characters:
        raise InvalidValue(
            f"{field}: at most {settings.max_query_characters} characters, here are {len(text)}"
        )
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise InvalidValue(f"{field}: it holds half of a surrogate pair, which is not text")
    return text
