"""The quality service's app."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
from fastapi import FastAPI

from bulkhead import __version__
from bulkhead.app import create_app
from bulkhead.auth import KeyRing, Principal, Role, key_digest
from bulkhead.health import Part, Readiness
from bulkhead.settings import read_secret
from bulkhead.telemetry.http import CARRYING
from quality import api
from quality.canaries import Canaries, read
from quality.detector import DetectorEvaluator
from quality.detectors import load
from quality.evaluation import Evaluator
from quality.judge import Judge
from quality.judges import Judges
from quality.line import Line
from quality.prober import CANARY_HEADERS, Prober
from quality.settings import QualitySettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Inputs:
    """What is read before the event loop turns, so that a mistake is one line at start."""

    token: str
    api_key: str
    llm_keys: tuple[str, ...]
    """Of each model server, in order."""
    canaries: Canaries
    detector: Evaluator | None

    @classmethod
    def read(cls, settings: QualitySettings) -> "_Inputs":
        detector: Evaluator | None = None
        if settings.detector != "none" and settings.detector_path is not None:
            model = load(
                settings.detector,
                settings.detector_path,
                settings.detector_tokens,
                settings.detector_threads,
            )
            detector = DetectorEvaluator(settings.detector, model, settings.threshold)
        return cls(
            token=read_secret(settings.token_file),
            api_key=read_secret(settings.api_key_file),
            llm_keys=tuple(
                read_secret(one.api_key_file) if one.api_key_file else "none"
                for one in settings.model_servers()
            ),
            canaries=read(settings.canaries),
            detector=detector,
        )


def create(settings: QualitySettings) -> FastAPI:
    """The app. Raises `ValueError` or `OSError`, in words, for a missing secret, file or model."""
    inputs = _Inputs.read(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        retriever = httpx2.AsyncClient(
            base_url=str(settings.retriever_url),
            headers={"authorization": f"Bearer {inputs.api_key}", **CANARY_HEADERS},
            timeout=settings.canary_timeout,
            event_hooks=CARRYING,
            trust_env=False,  # a neighbour: no proxy of the environment is between
        )
        async with retriever, httpx2.AsyncClient(event_hooks=CARRYING) as llm:
            lines = []
            judge: Judges | None = None
            if inputs.detector is not None:
                lines.append(Line(inputs.detector, settings.queue_answers))
            work = []
            if settings.judge_share > 0:
                judge = _judges(settings, inputs, llm)
                lines.append(
                    Line(judge, settings.queue_answers, settings.judge_share, together=True)
                )
                work.append(judge.watch())
            prober = Prober(
                retriever,
                inputs.canaries,
                k=settings.canary_k,
                timeout=settings.canary_timeout,
                judge=judge,
            )
            app.state.prober, app.state.lines, app.state.judge = prober, lines, judge
            work += [prober.run(settings.canary_seconds), *(line.run() for line in lines)]
            tasks = [asyncio.create_task(_watched(one, app.state.fail)) for one in work]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ready() -> Readiness:
        """Whether the retriever answered in the last round, and whether the model may judge.

        Evaluation goes on without the retriever, and the rest without a judge.
        """
        last = app.state.prober.last
        if last is None:
            part = Part(state="down", detail="the first round is not over yet")
        elif last.results["error"] == last.results.total():
            part = Part(state="down", detail="no canary of the last round was answered")
        else:
            part = Part(state="up")
        judge: Judges | None = app.state.judge
        judging = {}
        if judge is not None:
            state: Literal["up", "down"] = "down" if judge.trouble else "up"
            judging["judge"] = Part(state=state, detail=judge.trouble)
        return Readiness(
            status="ready" if part.state == "up" else "degraded",
            parts={"retriever": part} | judging,
        )

    app = create_app(
        name="quality",
        title="Bulkhead quality",
        description="Asks labelled questions of the stack, and scores a sample of its answers.",
        version=__version__,
        settings=settings,
        routers=[api.router],
        ready=ready,
        lifespan=lifespan,
    )
    sender = Principal("retriever", "", frozenset(), Role.READER)
    app.state.judge = None
    app.state.keys = KeyRing({key_digest(inputs.token): sender})
    return app


def _judges(settings: QualitySettings, inputs: _Inputs, llm: httpx2.AsyncClient) -> Judges:
    return Judges(
        [
            Judge(
                llm,
                str(one.url),
                key,
                settings.judge_timeout,
                settings.judge_threshold,
                one.model,
            )
            for one, key in zip(settings.model_servers(), inputs.llm_keys, strict=True)
        ]
    )


async def _watched(work: Coroutine[Any, Any, None], fail: Callable[[str], None]) -> None:
    """An end that nobody asked for ends the process, with the reason."""
    try:
        await work
    except Exception as error:
        logger.exception("a background task ended")
        fail(f"a background task ended: {type(error).__name__}")
