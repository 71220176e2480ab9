"""What filters find: the same embedded, on a server and in a list, and what plain Python says."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from qdrant_client import QdrantClient, models
from qdrant_server import reached, serving_qdrant
from sqlalchemy import URL
from state import state

from bulkhead.auth import Principal, Role
from bulkhead.errors import InvalidValue, Unavailable
from retriever.database import Database
from retriever.index.collection import Stamp
from retriever.index.connect import Connection, Server, connect
from retriever.index.documents import Documents
from retriever.index.filter_points import conditions
from retriever.index.filters import Kind, matches, moment, read
from retriever.index.index import Index
from retriever.index.model import Addition, ChunkSpan, Mode, NewDocument
from retriever.index.quick import hasten
from retriever.index.vectors import Legs, Vectors

ADMIN = Principal("k1", "acme", frozenset(), Role.ADMIN)
STAMP = Stamp("model", "1", 2, "bm25")
WORD = models.SparseVector(indices=[1], values=[1.0])
LEGS = Legs(Mode.HYBRID, [1.0, 0.0], WORD, 100, models.FusionQuery(fusion=models.Fusion.DBSF))

DOCUMENTS: dict[str, dict[str, Any]] = {
    "bare": {},
    "null": {"year": None, "team": None},
    "nothing": {"year": [], "team": []},
    "year": {"year": 2024},
    "double": {"year": 2024.0},
    "half": {"year": 2024.5},
    "years": {"year": [2020, 2030]},
    "words": {"year": "2024"},
    "yes": {"year": True, "live": True},
    "no": {"live": False},
    "one": {"live": 1},
    "zero": {"year": 0},
    "huge": {"year": 2**53 + 1},
    "largest": {"year": 2**63 - 1},
    "least": {"year": -(2**63)},
    "ops": {"team": "ops"},
    "teams": {"team": ["ops", "dev"]},
    "mixed": {"team": ["ops", 7, True]},
    "cased": {"team": "Ops"},
    "empty": {"team": ""},
    "day": {"at": "2024-05-01"},
    "morning": {"at": "2024-05-01T08:00:00Z"},
    "there": {"at": "2024-05-01T23:30:00-05:00"},
    "naive": {"at": "2024-05-01 23:59:59"},
    "fraction": {"at": "2024-05-01T23:59:59.999999Z"},
    "after": {"at": "2024-05-02"},
    "seconds": {"at": 1714521600},
    "no-date": {"at": "2024-13-01"},
    "spoken": {"at": "May 2024"},
}

ASKED: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set(DOCUMENTS)),
    # Numbers are numbers, however written; text and truth are neither.
    ({"year": 2024}, {"year", "double"}),
    ({"year": 2024.0}, {"year", "double"}),
    ({"year": 2024.5}, {"half"}),
    ({"year": "2024"}, {"words"}),
    ({"year": True}, {"yes"}),
    ({"live": 1}, {"one"}),
    ({"live": True}, {"yes"}),
    ({"live": False}, {"no"}),
    ({"year": -0.0}, {"zero"}),
    ({"year": {"gte": -0.0, "lte": 0}}, {"zero"}),
    ({"year": 2**53}, set()),
    ({"year": 2**53 + 1}, {"huge"}),
    ({"year": [2**63 - 1, -(2**63)]}, {"largest", "least"}),
    ({"year": {"gte": 2024, "lt": 2025}}, {"year", "double", "half"}),
    ({"year": {"gt": 2024, "lt": 2025}}, {"half"}),
    ({"year": {"gt": 2024, "gte": 2000, "lt": 2025, "lte": 2026}}, {"half"}),
    ({"year": {"gte": 2021, "lte": 2029}}, {"year", "double", "half"}),  # no end alone
    ({"year": {"gte": 2030}}, {"years", "huge", "largest"}),
    ({"year": {"lt": -1}}, {"least"}),
    ({"year": {"gt": 5, "lt": 4}}, set()),
    ({"year": {"gt": 2**53 - 1}}, {"huge", "largest"}),
    # Lists, any of, none of.
    ({"team": "ops"}, {"ops", "teams", "mixed"}),
    ({"team": ["dev", "Ops"]}, {"teams", "cased"}),
    ({"team": {"any_of": ["dev", 7]}}, {"teams", "mixed"}),
    ({"team": ["dev", 7, True, None]}, set(DOCUMENTS) - {"ops", "cased", "empty"}),
    ({"team": ""}, {"empty"}),
    ({"team": {"none_of": ["ops"]}}, set(DOCUMENTS) - {"ops", "teams", "mixed"}),
    ({"team": {"any_of": ["ops"], "none_of": ["dev", 7]}}, {"ops"}),
    ({"team": {"exists": True, "none_of": ["ops"]}}, {"cased", "empty"}),
    # There, and not there: null and an empty list are not.
    ({"live": {"exists": True}}, {"yes", "no", "one"}),
    ({"team": {"exists": True}}, {"ops", "teams", "mixed", "cased", "empty"}),
    ({"live": {"exists": False}}, set(DOCUMENTS) - {"yes", "no", "one"}),
    ({"live": None}, set(DOCUMENTS) - {"yes", "no", "one"}),
    ({"live": {"none_of": [None]}}, {"yes", "no", "one"}),
    ({"year": {"exists": False, "any_of": [None]}, "at": {"exists": True}},
     {"day", "morning", "there", "naive", "fraction", "after", "seconds", "no-date", "spoken"}),
    # Dates: moments, days, zones.
    ({"at": "2024-05-01"}, {"day"}),
    ({"at": {"gte": "2024-05-01"}},
     {"day", "morning", "there", "naive", "fraction", "after"}),
    ({"at": {"gt": "2024-05-01"}}, {"there", "after"}),
    ({"at": {"lte": "2024-05-01"}}, {"day", "morning", "naive", "fraction"}),
    ({"at": {"lt": "2024-05-01"}}, set()),
    ({"at": {"gte": "2024-05-01", "lte": "2024-05-01"}}, {"day", "morning", "naive", "fraction"}),
    ({"at": {"gte": "2024-05-01T10:00:00+02:00", "lt": "2024-05-01T10:00:00.000001+02:00"}},
     {"morning"}),
    ({"at": {"gt": "2024-05-01T08:00:00"}}, {"there", "naive", "fraction", "after"}),
    ({"at": {"gt": 0}}, {"seconds"}),
    # Not.
    ({"not": {"live": {"exists": True}, "team": {"exists": True}, "at": {"exists": True}}},
     {"bare", "null", "nothing", "year", "double", "half", "years", "words", "zero", "huge",
      "largest", "least"}),
    ({"year": {"exists": True}, "not": {"year": {"gte": 1, "none_of": [2024]}}},
     {"year", "double", "words", "yes", "zero", "least"}),
    ({"not": {"team": {"exists": False}}}, {"ops", "teams", "mixed", "cased", "empty"}),
    # A document's own fields.
    ({"source": "ops"}, {"ops"}),
    ({"source": ["ops", "dev"], "title": {"none_of": ["x"]}}, {"ops"}),
    ({"media_type": {"any_of": ["text/plain"]}, "not": {"source": list(DOCUMENTS)[1:]}}, {"bare"}),
    ({"tenant": "acme"}, set()),
]  # fmt: skip


def new(source: str, metadata: dict[str, Any]) -> Addition:
    chunks = [ChunkSpan(0, 4, None, "")]
    document = NewDocument(source, source, source, "text/plain", (), metadata, "word", (), chunks)
    return Addition(ADMIN, document, [[1.0, 0.0]], [WORD])


@asynccontextmanager
async def opened(
    folder: Path, url: URL, server: Server | None, kinds: dict[str, Kind]
) -> AsyncIterator[tuple[Index, Connection]]:
    client = connect(server, folder / "qdrant")
    try:
        async with Database.open(url) as database:
            index = Index(Documents(database), Vectors(client, "chunks", kinds))
            await index.open(STAMP)
            yield index, client
    finally:
        await client.close()


async def test_a_filter_finds_the_same_embedded_on_a_server_and_in_a_list(tmp_path: Path) -> None:
    additions = [new(source, metadata) for source, metadata in DOCUMENTS.items()]
    async with AsyncExitStack() as exits:
        standin = exits.enter_context(serving_qdrant())
        for where, server in (("embedded", None), ("server", reached(standin))):
            index, _ = await exits.enter_async_context(
                opened(tmp_path, exits.enter_context(state()), server, {})
            )
            await index.add(additions)
            for filters, wanted in ASKED:
                asked = read(filters, {})
                found = {hit.source for hit in await index.search(ADMIN, LEGS, 100, asked)}
                assert found == wanted, (where, filters)
                listed, cursor = await index.page(ADMIN, 100, None, asked)
                assert {one.source for one in listed} == wanted, (where, filters)
                assert cursor is None


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"source": []}, "filters.source: a list of 1 to 1000"),
    ({"source": {"gt": 1}}, "filters.source: a source is text, which has no ranges"),
    ({"source": 1.5}, "filters.source: a source is text"),
    ({"source": None}, "filters.source: a source is text"),
    ({"title": {"exists": True}}, "filters.title.exists: true or false, of a metadata key"),
    ({"source": ["a", 1]}, "filters.source: a source is text"),
    ({"tenant.x": "acme"}, "filters: 'tenant.x' is not a field"),
    ({"a": "x", "": "a"}, "filters: '' is not a field"),
    ({"not": "a"}, "filters.not: an object"),
    ({"not": {"not": {"a": 1}}}, "filters.not.not: "),
    ({"not": {"a": {"x": 1}}}, "filters.not.a: 'x' is no operator; there are gt, gte, lt,"),
    ({"source": ["x"] * 1001}, "filters: at most 1000 values"),
    ({str(n): 1 for n in range(65)}, "filters: at most 64 fields"),
    ({"year": {}}, "filters.year: nothing is no operator"),
    ({"year": {"gte": 1, "$in": [1]}}, "filters.year: '$in' is no operator"),
    ({"year": [[1]]}, "filters.year: values are texts, numbers, true, false or null"),
    ({"year": [{"gt": 1}]}, "filters.year: values are"),
    ({"year": {"any_of": 1}}, "filters.year.any_of: a list"),
    ({"year": {"none_of": []}}, "filters.year.none_of: a list"),
    ({"year": {"exists": 1}}, "filters.year.exists: true or false"),
    ({"year": {"exists": None}}, "filters.year.exists: true or false"),
    ({"year": 2**63}, "filters.year: a number has at most 64 bits"),
    ({"year": [1, -(2**63) - 1]}, "filters.year: a number has at most 64 bits"),
    ({"year": float(-(2**63) - 1)}, "filters.year: a number has at most 64 bits"),
    ({"year": float("nan")}, "filters.year: a number has at most 64 bits"),
    ({"year": {"gt": float("nan")}}, "filters.year.gt: ranges compare numbers below 2^53"),
    ({"year": {"gt": 2**53}}, "filters.year.gt: ranges compare numbers below 2^53"),
    ({"year": {"gt": True}}, "filters.year.gt: a number or a date"),
    ({"year": {"gt": None}}, "filters.year.gt: a number or a date"),
    ({"year": {"gt": [1]}}, "filters.year.gt: a number or a date"),
    ({"year": {"gt": 1, "lt": "2024-01-01"}}, "filters.year: both ends are numbers, or both"),
    ({"at": {"gte": "yesterday"}}, "filters.at.gte: 'yesterday' is neither a number nor a date"),
    ({"at": {"gte": "2023-02-29"}}, "filters.at.gte: '2023-02-29' is neither"),
    ({"at": {"lte": "9999-12-31"}}, "filters.at.lte: the day after it is no date"),
    ({"at": {"gte": "0001-01-01T00:00:00+02:00"}}, "filters.at.gte: "),
    ({"a": "x" * 1001}, "filters.a: a text has at most 1000 characters"),
    ({"a" * 500: 1}, f"filters: '{'a' * 64}' is not"),
    ({"day": {"gte": 5}}, "filters.day.gte: the field holds dates"),
    ({"day": 5}, "filters.day: the field holds dates, and here is a number"),
    ({"count": {"gte": "2024-01-01"}}, "filters.count.gte: a number or a date"),
]  # fmt: skip


def test_a_filter_that_makes_no_sense_is_refused_by_the_name_of_its_field() -> None:
    kinds = {"day": Kind.DATETIME, "count": Kind.NUMBER}
    for filters, message in REFUSED:
        with pytest.raises(InvalidValue) as refusal:
            read(filters, kinds)
        assert refusal.value.message.startswith(message), (filters, refusal.value.message)


NUMBERS: list[Any] = [-(2**63), -7, -1.5, 0, -0.0, 1, 1.0, 2.5, 7, 2**53 - 1, 2**53, 2**53 + 1]
DATES = [
    "2024-02-29", "2024-03-01", "2024-02-29T23:30:00-01:00", "2024-02-29T12:00:00Z",
    "2024-03-01 00:00:00", "2024-02-29T12:00:00.000001Z", "1969-12-31T23:59:59+00:00",
]  # fmt: skip
OTHERS: list[Any] = ["", "1", "a", "A", "2024", "no date", True, False]
SCALARS = [*NUMBERS, *DATES, *OTHERS]
METADATA: list[dict[str, Any]] = [
    {},
    {"a": None},
    {"a": []},
    *({"a": value} for value in SCALARS),
    *({"a": [one, other], "b": other} for one, other in zip(SCALARS, SCALARS[5:], strict=False)),
]

_bounds = st.one_of(
    st.dictionaries(
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        st.sampled_from([n for n in NUMBERS if abs(n) < 2**53]),
        min_size=1,
    ),
    st.dictionaries(
        st.sampled_from(["gt", "gte", "lt", "lte"]), st.sampled_from(DATES), min_size=1
    ),
)
_values = st.lists(st.sampled_from([*SCALARS, None]), min_size=1, max_size=4)
_operators = st.builds(
    lambda bounds, more: bounds | more,
    _bounds | st.just({}),
    st.fixed_dictionaries(
        {}, optional={"any_of": _values, "none_of": _values, "exists": st.booleans()}
    ),
).filter(bool)
_asked = st.dictionaries(
    st.sampled_from(["a", "b"]), st.one_of(st.sampled_from([*SCALARS, None]), _values, _operators)
)
_filters = st.builds(
    lambda asked, refused: asked | ({"not": refused} if refused else {}), _asked, _asked
)


def meets(value: Any, name: str, wanted: Any) -> bool:
    """Plain Python: whether one value of a document meets one operator."""
    if name == "is":
        same = isinstance(value, bool) == isinstance(wanted, bool)
        return same and bool(value == wanted)
    if isinstance(wanted, str):
        try:
            value = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            return False
        value = value.replace(tzinfo=value.tzinfo or UTC)
        if len(wanted) == len("2024-02-29"):
            day = timedelta(days=1) if name in ("gt", "lte") else timedelta(0)
            wanted = datetime.combine(date.fromisoformat(wanted), datetime.min.time(), UTC) + day
            name = {"gt": "gte", "lte": "lt"}.get(name, name)
        else:
            wanted = datetime.fromisoformat(wanted)
            wanted = wanted.replace(tzinfo=wanted.tzinfo or UTC)
    elif isinstance(value, bool | str):
        return False
    compare: dict[str, Callable[[], Any]] = {
        "gt": lambda: value > wanted,
        "gte": lambda: value >= wanted,
        "lt": lambda: value < wanted,
        "lte": lambda: value <= wanted,
    }
    return bool(compare[name]())


def fits(condition: Any, found: Any) -> bool:
    values = found if isinstance(found, list) else [] if found is None else [found]
    if not isinstance(condition, dict):
        condition = {"any_of": condition if isinstance(condition, list) else [condition]}

    def among(wanted: list[Any]) -> bool:
        return any(meets(v, "is", w) for v in values for w in wanted) or (
            None in wanted and not values
        )

    ends = {name: end for name, end in condition.items() if name in ("gt", "gte", "lt", "lte")}
    return (
        (not ends or any(all(meets(v, n, e) for n, e in ends.items()) for v in values))
        and among(condition.get("any_of", [None, *values]))
        and not ("none_of" in condition and among(condition["none_of"]))
        and condition.get("exists", bool(values)) == bool(values)
    )


def plain(filters: dict[str, Any], metadata: dict[str, Any]) -> bool:
    """What the grammar says, in a few lines of Python."""
    wanted = {field: one for field, one in filters.items() if field != "not"}
    return all(fits(one, metadata.get(field)) for field, one in wanted.items()) and not any(
        fits(one, metadata.get(field)) for field, one in filters.get("not", {}).items()
    )


@pytest.fixture(scope="module")
def stores() -> Iterator[list[QdrantClient]]:
    """Points with the metadata: embedded and made quick, and over gRPC."""
    embedded, held = QdrantClient(":memory:"), QdrantClient(":memory:")
    for client in (embedded, held):
        size = models.VectorParams(size=1, distance=models.Distance.DOT)
        client.create_collection("chunks", vectors_config=size)
    local: Any = embedded._client
    hasten(local.collections["chunks"])
    with serving_qdrant(held) as standin:
        server = reached(standin)
        remote = QdrantClient(
            grpc_port=standin.port, prefer_grpc=True, api_key=server.api_key, https=False,
            check_compatibility=False,
        )  # fmt: skip
        for client in (embedded, remote):
            client.upsert(
                "chunks",
                [
                    models.PointStruct(id=n, vector=[1.0], payload={"metadata": one})
                    for n, one in enumerate(METADATA)
                ],
            )
        yield [embedded, remote]
        remote.close()


@settings(max_examples=150, deadline=None)
@given(filters=_filters)
def test_every_store_says_what_plain_python_says(
    stores: list[QdrantClient], filters: dict[str, Any]
) -> None:
    wanted = {n for n, metadata in enumerate(METADATA) if plain(filters, metadata)}
    asked = read(filters, {})
    assert {n for n, metadata in enumerate(METADATA) if matches(asked, metadata)} == wanted
    must, must_not = conditions(asked)
    for client in stores:
        found = client.query_points(
            "chunks",
            query=[1.0],
            query_filter=models.Filter(must=must or None, must_not=must_not or None),
            limit=len(METADATA),
        )
        assert {point.id for point in found.points} == wanted, (client, filters)


def test_what_is_a_date_is_read_by_qdrants_rules() -> None:
    for text, wanted in {
        "2024-05-01": datetime(2024, 5, 1, tzinfo=UTC),
        "2024-05-01T09:30": datetime(2024, 5, 1, 9, 30, tzinfo=UTC),
        "2024-05-01 09:30:15": datetime(2024, 5, 1, 9, 30, 15, tzinfo=UTC),
        "2024-05-01T09:30:15.25Z": datetime(2024, 5, 1, 9, 30, 15, 250000, tzinfo=UTC),
        "2024-05-01T09:30:15.123456789Z": datetime(2024, 5, 1, 9, 30, 15, 123456, tzinfo=UTC),
        "2024-05-01T09:30:15+05:30": datetime(2024, 5, 1, 4, tzinfo=UTC).replace(second=15),
        "2024-05-01T09:30:15-0800": datetime(2024, 5, 1, 17, 30, 15, tzinfo=UTC),
        "2024-05-01T09:30:15+02": datetime(2024, 5, 1, 7, 30, 15, tzinfo=UTC),
        "2024-05": None,
        "2024-02-30": None,
        "2024-05-01T24:00:00": None,
        "2024-05-01Z": None,
        "01.05.2024": None,
        "2024-05-01 ": None,
        "now": None,
        "": None,
    }.items():
        assert moment(text) == wanted, text
        client = QdrantClient(":memory:")
        client.create_collection(
            "c", vectors_config=models.VectorParams(size=1, distance=models.Distance.DOT)
        )
        point = models.PointStruct(id=1, vector=[1.0], payload={"a": text})
        client.upsert("c", [point])
        for shift, holds in ((0, wanted is not None), (1, False)):
            at = (wanted or datetime(2024, 5, 1, tzinfo=UTC)) + timedelta(microseconds=shift)
            within = models.FieldCondition(key="a", range=models.DatetimeRange(gte=at))
            count = client.count("c", models.Filter(must=[within])).count
            assert (count == 1) is holds, text


async def test_indexes_of_metadata_follow_the_setting_from_start_to_start(
    tmp_path: Path, state_url: URL
) -> None:
    def of(info: models.CollectionInfo) -> dict[str, Any]:
        return {
            key.removeprefix("metadata."): one.data_type
            for key, one in info.payload_schema.items()
            if key.startswith("metadata.")
        }

    kind = models.PayloadSchemaType
    with serving_qdrant() as standin:
        for kinds, wanted in (
            ({}, {}),
            (
                {"year": Kind.NUMBER, "team": Kind.KEYWORD},
                {"year": kind.FLOAT, "team": kind.KEYWORD},
            ),
            (
                {"year": Kind.DATETIME, "live": Kind.BOOL},
                {"year": kind.DATETIME, "live": kind.BOOL},
            ),
            ({}, {}),
        ):
            async with opened(tmp_path, state_url, reached(standin), kinds) as (index, client):
                info = await client.reads.get_collection("chunks")
                assert of(info) == wanted
                assert info.payload_schema["tenant"].data_type is kind.KEYWORD
                await index.add([new("year", {"year": 2024})])
                hits = await index.search(ADMIN, LEGS, 5, read({"year": {"none_of": [1]}}, {}))
                assert [hit.source for hit in hits] == ["year"]


async def test_an_index_that_cannot_be_made_is_made_at_the_next_start(
    tmp_path: Path, state_url: URL
) -> None:
    with serving_qdrant() as standin:
        async with opened(tmp_path, state_url, reached(standin), {}):
            pass
        standin.faults.writes = "No space left on device"
        with pytest.raises(Unavailable):
            async with opened(tmp_path, state_url, reached(standin), {"year": Kind.NUMBER}):
                pass
        standin.faults.writes = ""
        async with opened(tmp_path, state_url, reached(standin), {"year": Kind.NUMBER}) as (
            _,
            client,
        ):
            schema = (await client.reads.get_collection("chunks")).payload_schema
            assert schema["metadata.year"].data_type is models.PayloadSchemaType.FLOAT


async def test_a_list_with_a_filter_is_paged_without_gaps_and_looks_only_so_far(
    tmp_path: Path, state_url: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retriever.index.documents._LOOK", 4)
    monkeypatch.setattr("retriever.index.documents._MOST_LOOKS", 2)
    async with opened(tmp_path, state_url, None, {}) as (index, _):
        for n in range(30):
            await index.add([new(f"{n:02}", {"n": n, "last": n == 29})])
        for filters, wanted in (
            ({"n": {"none_of": [3, 4]}}, [n for n in range(30) if n not in (3, 4)]),
            ({"last": True}, [29]),
            ({"n": {"lt": 3}}, [0, 1, 2]),
            ({"n": -1}, []),
        ):
            seen: list[int] = []
            cursor, pages = None, 0
            while pages == 0 or cursor:
                page, cursor = await index.page(ADMIN, 3, cursor, read(filters, {}))
                assert len(page) <= 3
                seen += [one.metadata["n"] for one in page]
                pages += 1
            assert seen == wanted, filters
        page, cursor = await index.page(ADMIN, 3, None, read({"last": True}, {}))
        assert (page, bool(cursor)) == ([], True)
