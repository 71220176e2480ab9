"""Random changes by several people through several processes: the index is what a model says."""

import asyncio
import tempfile
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from qdrant_client import QdrantClient, models
from qdrant_server import reached, serving_qdrant
from state import state

from bulkhead.auth import Principal, Role
from retriever.database import Database
from retriever.index.collection import Stamp
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
from retriever.index.vectors import Legs, Vectors

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
processes = st.integers(0, 2)
group_sets = st.sampled_from([(), ("red",), ("blue",), ("blue", "red")])


def document(
    person: Principal, source: str, groups: tuple[str, ...], chunks: int, title: str
) -> Addition:
    """A document of the person's, ready to be added."""
    text = f"{WORD} " * chunks
    width = len(WORD) + 1
    spans = [ChunkSpan(n * width, (n + 1) * width, None, "") for n in range(chunks)]
    new_id = document_id(person.tenant, source, title, None, groups, {}, text)
    new = NewDocument(new_id, source, title, "text/plain", groups, {}, text, (), spans)
    dense = np.ones((chunks, 4)).tolist()
    return Addition(person, new, dense, BM.documents([WORD] * chunks))


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
    """The index, as three processes have it over one database and one Qdrant, and a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[str, Live] = {}
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.shared = ExitStack()
        self.url = self.shared.enter_context(state())
        self.held = QdrantClient(":memory:")
        self.server = reached(self.shared.enter_context(serving_qdrant(self.held)))
        self.processes: list[tuple[Index, AsyncExitStack]] = []

    async def _open(self) -> tuple[Index, AsyncExitStack]:
        exits = AsyncExitStack()
        client = connect(self.server, Path(self.folder.name))
        exits.push_async_callback(client.close)
        database = await exits.enter_async_context(Database.open(self.url))
        index = Index(Documents(database), Vectors(client, "chunks"))
        await index.open(Stamp("model", "1", 4, "bm25"))
        return index, exits

    @initialize()
    def start(self) -> None:
        self.processes = [self.runner.run(self._open()) for _ in range(3)]

    @rule(who=processes)
    def restart(self, who: int) -> None:
        self.runner.run(self.processes[who][1].aclose())
        self.processes[who] = self.runner.run(self._open())

    @rule(person=people, source=sources, ways=st.permutations([0, 1, 2]))
    def send_three_at_once(self, person: Principal, source: str, ways: list[int]) -> None:
        """Three different documents of one source, each by a process of its own: one stays."""
        if person.role is not Role.ADMIN and not person.groups:
            return
        sent = [document(person, source, (), 1, f"{source} by {way}") for way in ways]

        async def together() -> None:
            await asyncio.gather(
                *(self.processes[way][0].add([one]) for way, one in zip(ways, sent, strict=True))
            )

        self.runner.run(together())
        listed, _ = self.runner.run(self.processes[0][0].page(person, 100, None))
        (stays,) = {one.id for one in listed} & {one.document.id for one in sent}
        for one in [one for one, live in self.live.items() if live.source == source]:
            if self.live[one].seen_by(person):
                del self.live[one]
        self.live[stays] = Live(person.tenant, source, (), 1)

    @rule(
        person=people,
        source=sources,
        groups=group_sets,
        chunks=st.integers(1, 3),
        title=st.sampled_from(["T", "U"]),
        who=processes,
    )
    def add(
        self,
        person: Principal,
        source: str,
        groups: tuple[str, ...],
        chunks: int,
        title: str,
        who: int,
    ) -> None:
        if person.role is not Role.ADMIN and not set(groups) <= person.groups:
            return  # the API refuses it
        addition = document(person, source, groups, chunks, title)
        new_id = addition.document.id
        taken = [
            one
            for one, live in self.live.items()
            if live.source == source and live.seen_by(person) and one != new_id
        ]
        expected = Outcome.UNCHANGED if new_id in self.live else Outcome.ADDED
        assert self.runner.run(self.processes[who][0].add([addition])) == [
            Outcome.REPLACED if taken else expected
        ]
        for one in taken:
            del self.live[one]
        self.live[new_id] = Live(person.tenant, source, groups, chunks)

    @rule(person=people, data=st.data(), who=processes)
    def delete(self, person: Principal, data: st.DataObject, who: int) -> None:
        if not self.live:
            return
        one = data.draw(st.sampled_from(sorted(self.live)))
        seen = self.live[one].seen_by(person)
        index, other = self.processes[who][0], self.processes[who - 1][0]
        assert self.runner.run(index.delete(person, one)) is (Deletion.DONE if seen else None)
        if seen:
            del self.live[one]
            assert self.runner.run(other.text(person, one)) is None

    @invariant()
    def points_are_the_chunks_of_live_documents(self) -> None:
        records, _ = self.held.scroll("chunks", limit=1000)
        found = sorted((record.payload or {})["document_id"] for record in records)
        assert found == sorted(one for one, live in self.live.items() for _ in range(live.chunks))

    @invariant()
    def everyone_sees_what_is_theirs_and_nothing_else(self) -> None:
        for n, person in enumerate(PEOPLE):
            index = self.processes[n % 3][0]
            theirs = {one for one, live in self.live.items() if live.seen_by(person)}
            listed, _ = self.runner.run(index.page(person, 100, None))
            found = self.runner.run(index.search(person, LEGS, 100))
            assert {one.id for one in listed} == {hit.document_id for hit in found} == theirs

    def teardown(self) -> None:
        for _, exits in self.processes:
            self.runner.run(exits.aclose())
        self.runner.close()
        self.shared.close()
        self.folder.cleanup()


TestIndexMachine = IndexMachine.TestCase
TestIndexMachine.settings = settings(max_examples=15, stateful_step_count=15)
