"""Several model servers, in order: where one does not answer, the next is asked.

That is all: no load is spread, and no model is picked by what is asked.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from bulkhead.errors import Unavailable, UnknownModel
from bulkhead.telemetry import names
from bulkhead.telemetry.instruments import MODEL_SERVER_CALLS
from retriever.clients.llm import PART, LLMClient, ServedModel, TurnedAway

_PAUSE_SECONDS = 10.0
"""For how long a server that failed is asked after the others."""
_LONGEST_PAUSE_SECONDS = 300.0


@dataclass(eq=False)
class OneOfThem:
    """A server, and since when it is left alone."""

    name: str
    """What it is called in /readyz and metrics: `llm`, or with others `llm-1`, `llm-2`, …"""
    client: LLMClient
    resting: float = field(default=0.0, init=False)
    """The moment (monotonic) until which it is asked last."""

    def failed(self, error: Unavailable) -> None:
        """It gave no answer: the others go before it for a while, as long as it asks for."""
        asked = error.seconds if isinstance(error, TurnedAway) else 0.0
        pause = min(max(asked, _PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        self.resting = time.monotonic() + pause
        self._count("failed")

    def answered(self) -> None:
        """It has begun to answer."""
        self.resting = 0.0
        self._count("answered")

    def _count(self, result: str) -> None:
        MODEL_SERVER_CALLS.add(1, {names.MODEL_SERVER: self.name, names.RESULT: result})


class ModelServers:
    """The servers of `RETRIEVER_LLM_URL`, as one."""

    def __init__(self, clients: Sequence[LLMClient]) -> None:
        alone = len(clients) == 1
        self.servers = [
            OneOfThem(PART if alone else f"{PART}-{n}", client)
            for n, client in enumerate(clients, 1)
        ]

    async def models(self) -> list[ServedModel]:
        """What all that answer have on offer, by name. Raises `Unavailable` when none answers."""
        found: dict[str, ServedModel] = {}
        failure: Unavailable | None = None
        for server in self.servers:
            try:
                for model in await server.client.models():
                    found.setdefault(model.id, model)
            except Unavailable as error:
                failure = error
        if not found and failure is not None:
            raise failure
        return list(found.values())

    async def served(self, name: str) -> ServedModel:
        """The model of that name. Raises `UnknownModel`, or `Unavailable` where one that is not
        reached might have it."""
        missing: Exception | None = None
        for server in self.servers:
            try:
                return await server.client.served(name)
            except Unavailable as error:
                missing = error
            except UnknownModel as error:
                missing = missing or error
        assert missing is not None
        raise missing

    async def choices(
        self, name: str | None
    ) -> AsyncGenerator[tuple[OneOfThem, ServedModel], None]:
        """Who may answer with which model, one after the other; the next is for when one failed.

        A server that has no model of that name answers with its own once those that have, or may
        have, one did not answer. Raises `UnknownModel` where all answer and none has it, and
        `Unavailable` where none can be asked.
        """
        now = time.monotonic()
        failure: Unavailable | None = None
        strangers: list[OneOfThem] = []
        unknown: UnknownModel | None = None
        asked = False
        for server in sorted(self.servers, key=lambda one: one.resting > now):
            try:
                served = await server.client.served(name)
            except UnknownModel as error:
                strangers.append(server)
                unknown = error
                continue
            except Unavailable as error:
                server.failed(error)
                failure = error
                continue
            yield server, served
            asked = True
        if unknown is not None and failure is None and not asked:
            raise unknown
        for server in strangers:
            try:
                served = await server.client.served()
            except Unavailable as error:
                server.failed(error)
                failure = error
                continue
            yield server, served
            asked = True
        if not asked:
            raise failure or Unavailable(PART, "no model server can be asked")
