"""Random sequences of changes by several people: the index is what a plain model says, always."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from qdrant_client import models

from bulkhead.auth import Principal, Role
from retriever.database import Database
from retriever.index.connect import connect
from retriever.index.documents import Documents
from retriever.index.index import Index
from retriever.index.model import (
    Addition,
    ChunkSpan,
    Deletion,
    Mode,
    NewDocument,
    Outcome,
    document_id,
)
from retriever.index.sparse import BM25
from retriever.index.vectors import Legs, Stamp, Vectors

PEOPLE = [
    Principal("admin", "acme", frozenset(), Role.ADMIN),
    Principal("red", "acme", frozenset({"red"}), Role.WRITER),
    Principal("blue", "acme", frozenset({"blue"}), Role.WRITER),
    Principal("both", "acme", frozenset({"red", "blue"}), Role.WRITER),
    Principal("other", "umbrella", frozenset({"red"}), Role.WRITER),
]
BM = BM25("english", 1.2, 0.75, 10.0)
WORD = "canary"
LEGS = Legs(Mode.SPARSE, None, BM.query(WORD), 50, models.FusionQuery(fusion=models.Fusion.DBSF))

people = st.sampled_from(PEOPLE)
sources = st.sampled_from(["a", "b"])
group_sets = st.sampled_from([(), ("red",), ("blue",), ("blue", "red")])


@dataclass(frozen=True)
class Live:
    """A document of the model."""

    tenant: str
    source: str
    groups: tuple[str, ...]
    chunks: int

    def seen_by(self, person: Principal) -> bool:
        shared = not self.groups or bool(person.groups & set(self.groups))
        return self.tenant == person.tenant and (shared or person.role is Role.ADMIN)


class IndexMachine(RuleBasedStateMachine):
    """The index beside a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, Live] = {}
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.exits = AsyncExitStack()

    async def _open(self) -> None:
        folder = Path(self.folder.name)
        self.client = connect(None, folder / "qdrant")
        self.exits.push_async_callback(self.client.close)
        database = await self.exits.enter_async_context(Database.open(folder / "db.sqlite3"))
        self.index = Index(Documents(database), Vectors(self.client, "chunks"))
        await self.index.open(Stamp("model", "1", 4, "bm25"))

    @initialize()
    def start(self) -> None:
        self.runner.run(self._open())

    @rule()
    def restart(self) -> None:
        self.runner.run(self.exits.aclose())
        self.runner.run(self._open())

    @rule(
        person=people,
        source=sources,
        groups=group_sets,
        chunks=st.integers(1, 3),
        title=st.sampled_from(["T", "U"]),
    )
    def add(
        self, person: Principal, source: str, groups: tuple[str, ...], chunks: int, title: str
    ) -> None:
        if person.role is not Role.ADMIN and not set(groups) <= person.groups:
            return  # the API refuses it
        text = f"{WORD} " * chunks
        width = len(WORD) + 1
        spans = [ChunkSpan(n * width, (n + 1) * width, None, "") for n in range(chunks)]
        new_id = document_id(person.tenant, source, title, None, groups, {}, text)
        new = NewDocument(new_id, source, title, "text/plain", groups, {}, text, (), spans)
        dense = np.ones((chunks, 4)).tolist()
        addition = Addition(person, new, dense, BM.documents([WORD] * chunks))
        taken = [
            one
            for one, live in self.live.items()
            if live.source == source and live.seen_by(person) and one != new_id
        ]
        expected = Outcome.UNCHANGED if new_id in self.live else Outcome.ADDED
        assert self.runner.run(self.index.add([addition])) == [
            Outcome.REPLACED if taken else expected
        ]
        for one in taken:
            del self.live[one]
        self.live[new_id] = Live(person.tenant, source, groups, chunks)

    @rule(person=people, data=st.data())
    def delete(self, person: Principal, data: st.DataObject) -> None:
        if not self.live:
            return
        one = data.draw(st.sampled_from(sorted(self.live)))
        seen = self.live[one].seen_by(person)
        assert self.runner.run(self.index.delete(person, one)) is (Deletion.DONE if seen else None)
        if seen:
            del self.live[one]
            assert self.runner.run(self.index.text(person, one)) is None

    @invariant()
    def points_are_the_chunks_of_live_documents(self) -> None:
        records, _ = self.runner.run(self.client.reads.scroll("chunks", limit=1000))
        found = sorted((record.payload or {})["document_id"] for record in records)
        assert found == sorted(one for one, live in self.live.items() for _ in range(live.chunks))

    @invariant()
    def everyone_sees_what_is_theirs_and_nothing_else(self) -> None:
        for person in PEOPLE:
            theirs = {one for one, live in self.live.items() if live.seen_by(person)}
            listed, _ = self.runner.run(self.index.page(person, 100, None))
            found = self.runner.run(self.index.search(person, LEGS, 100))
            assert {one.id for one in listed} == {hit.document_id for hit in found} == theirs

    def teardown(self) -> None:
        self.runner.run(self.exits.aclose())
        self.runner.close()
        self.folder.cleanup()


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(max_examples=15, stateful_step_count=15)
