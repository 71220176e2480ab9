"""One answer on its way through the flow, whatever shape it goes out in."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, dataclass

from bulkhead.auth import Principal
from bulkhead.errors import ApiError
from bulkhead.event import Event as Audited
from bulkhead.telemetry.spans import trace_id
from retriever.agent.servers import Search
from retriever.answer.flow import (
    BACKGROUND,
    Answered,
    Choice,
    Choices,
    Declined,
    Event,
    Question,
)
from retriever.answer.outcome import count, failures_counted
from retriever.answer.retriever import HybridRetriever
from retriever.answer.rewriting import Rewriter
from retriever.api.chat_request import ChatRequest
from retriever.api.chat_schemas import (
    CitationBody,
    Extras,
    GroundingBody,
    Retrieval,
    RetrievedChunk,
    StepBody,
    UsageBody,
)
from retriever.api.conversation import Conversation, conversation
from retriever.api.search import usable_text
from retriever.clients.llm import ServedModel
from retriever.clients.model_servers import OneOfThem
from retriever.report import Report
from retriever.stack import Stack

Events = AsyncGenerator[Event, None]
Asked = AsyncGenerator[tuple[OneOfThem, ServedModel], None]


@dataclass(frozen=True, slots=True)
class Whole:
    """An answer that has come to its end."""

    text: str
    declined: bool
    """The text is the server's own, where an answer in JSON was asked for: a refusal."""
    finish_reason: str
    extras: Extras


class Answering:
    """One answer: its request checked, its flow begun, its tokens charged, its end told.

    `field` is what the caller calls the messages; `kind` is how the answer's id begins.
    """

    def __init__(
        self,
        body: ChatRequest,
        principal: Principal,
        stack: Stack,
        audited: Audited,
        kind: str = "chatcmpl-",
        field: str = "messages",
    ) -> None:
        self._body = body
        self._principal = principal
        self._stack = stack
        self._audited = audited
        self._field = field
        self._report = Report()
        self.id = f"{kind}{uuid.uuid4().hex}"
        audited.target = self.id
        self.created = int(time.time())
        self._first = ""
        self._asked = ""
        self._words: list[str] = []
        self._declined = False

    @property
    def model(self) -> str:
        """The model that answers; before it does, the one that is asked first."""
        return self._report.model or self._first

    async def begin(self) -> Events:
        """Check the request and start the flow; nothing is asked of the model yet."""
        body, stack = self._body, self._stack
        await stack.limits.tokens(self._principal)
        options = body.rag.options(stack.settings)
        question = _question(body, conversation(body.messages, self._field), stack, self._field)
        self._asked = question.text
        asked = stack.llm.choices(body.model)
        with failures_counted(self._report):
            first = await anext(asked)
        self._first = first[1].id
        choice = self._choice(*first)
        retriever = HybridRetriever(
            searcher=stack.searcher,
            principal=self._principal,
            limit=max(question.top_k or stack.settings.top_k, BACKGROUND),
            options=options,
            report=self._report,
            context=question.context(stack.settings.language),
        )
        gate = None
        if body.rag.tools:
            search = Search(stack.searcher, options, self._report)
            gate = stack.toolbox.gate(self._principal, body.rag.tools, search)
        # Beside the answer, not after it: a commit takes as long as all checks together.
        self._noted = asyncio.create_task(stack.feedback.note_answer(self._principal, self.id))
        events = stack.answerer.answer(
            question,
            retriever,
            self._choices(choice, asked),
            self._report,
            gate,
            self._rewriter(*first),
        )
        most: int = choice.parameters[first[1].bound]
        return self._charged(self._heard(events), most)

    async def _choices(self, first: Choice, others: Asked) -> Choices:
        """The first, and the others once they are needed."""
        async with aclosing(others):
            yield first
            async for server, served in others:
                yield self._choice(server, served)

    def _choice(self, server: OneOfThem, served: ServedModel) -> Choice:
        """How this model is asked: what it holds and knows is its own."""
        body, settings = self._body, self._stack.settings
        context_tokens = served.context_tokens or settings.context_tokens
        # An answer may take half of what the model holds: the other half is for what it rests on.
        answer_tokens = body.answer_tokens(settings.max_answer_tokens, context_tokens // 2)
        parameters = {**body.sampling(served.extended), served.bound: answer_tokens}
        if salt := self._salt(served):
            parameters["extra_body"] = {**parameters.get("extra_body", {}), **salt}
        return Choice(
            model=server.client.chat_model(served.id),
            prompt_tokens=context_tokens - answer_tokens,
            count_tokens=server.client.count_tokens,
            parameters=parameters,
            calls_by_schema=served.calls_by_schema,
            answered=server.answered,
            failed=server.failed,
        )

    def _rewriter(self, server: OneOfThem, served: ServedModel) -> Rewriter | None:
        """Who makes a question that leans on the turns before stand by itself, if anybody."""
        if not self._stack.settings.rewrite:
            return None
        model = server.client.chat_model(served.id)
        salt = self._salt(served)
        return Rewriter(model, served.id, served.bound, {"extra_body": salt} if salt else {})

    def _salt(self, served: ServedModel) -> dict[str, str]:
        """What keeps one tenant's prompts out of the others' cache, where the server takes it."""
        if not served.salted:
            return {}
        return {"cache_salt": self._stack.keys.cache_salt(self._principal.tenant)}

    async def _heard(self, events: Events) -> Events:
        """The events; a `Declined` is left only where words are no answer in JSON."""
        async with aclosing(events):
            with failures_counted(self._report):
                async for event in events:
                    if isinstance(event, Declined) and not self._body.json_only:
                        event = event.text
                    if isinstance(event, str):
                        self._words.append(event)
                    elif isinstance(event, Declined):
                        self._words.append(event.text)
                        self._declined = True
                    yield event

    async def _charged(self, events: Events, most: int) -> Events:
        """The events; the key pays for their tokens.

        Where nobody reads to the end, nobody counts: that costs all the tokens that were asked for.
        """
        tokens = most
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Answered):
                        tokens = event.usage.prompt_tokens + event.usage.completion_tokens
                    yield event
        except ApiError:
            tokens = 0
            raise
        finally:
            await self._stack.limits.charge(self._principal, tokens)

    async def whole(self) -> Whole:
        """The answer as one."""
        async with aclosing(await self.begin()) as events:
            async for event in events:
                if isinstance(event, Answered):
                    answered = event
        return await self.ended(answered)

    async def ended(self, answered: Answered) -> Whole:
        """All of an answer whose last event was `answered`, counted."""
        await self._noted
        self._report.finish()
        count(answered, self._report)
        self._audited.documents += [hit.document_id for hit in answered.hits]
        self._offer(answered)
        text = "".join(self._words)
        return Whole(text, self._declined, answered.finish_reason, self._extras(answered))

    def failed(self, error: ApiError) -> None:
        """Note for the audit log that a stream, whose status is sent, ended with `error`."""
        self._audited.error = error.type

    def _extras(self, answered: Answered) -> Extras:
        usage = answered.usage
        return Extras(
            citations=[CitationBody(**asdict(citation)) for citation in answered.citations],
            grounding=GroundingBody(**asdict(answered.grounding)),
            steps=[StepBody.model_validate(step, from_attributes=True) for step in answered.steps],
            retrieval=Retrieval(
                mode=self._body.rag.mode,
                queries=answered.searched,
                degraded=self._report.degraded,
                results=[
                    RetrievedChunk.model_validate(hit, from_attributes=True)
                    for hit in answered.hits
                ],
            ),
            timings=self._report.timings,
            trace_id=trace_id(),
            usage=UsageBody(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                total_tokens=usage.prompt_tokens + usage.completion_tokens,
            ),
        )

    def _offer(self, answered: Answered) -> None:
        """An answer that claims something may be evaluated, without our markers in it."""
        answer = "".join(self._words)
        for citation in answered.citations:
            answer = answer.replace(f" [{citation.marker}]", "")
        if self._stack.quality and not answered.grounding.abstained and answer.strip():
            self._stack.quality.offer(
                self.id,
                self._asked,
                answer,
                [f"{hit.title}\n{hit.shown}" for hit in answered.hits],
                answered.grounding.supported,
                self._report.traffic,
            )


def _question(body: ChatRequest, said: Conversation, stack: Stack, field: str) -> Question:
    return Question(
        text=usable_text(said.question, f"{field}: the question", stack.settings),
        history=said.history,
        top_k=body.rag.top_k,
        rules=said.rules,
        before=said.before,
        marked=not body.json_only,
    )
