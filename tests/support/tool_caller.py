"""A model server that calls tools as told, beside a real one that answers everything else."""

import json
from typing import Any

import httpx2
from fastapi import FastAPI, Request
from scripted_llm import ScriptedLLM, Turn
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse


def calling(calls: list[tuple[str, dict[str, Any]]], then: str) -> ScriptedLLM:
    """A model that makes these calls for every question, and says `then` of what they give."""

    def script(body: dict[str, Any]) -> Turn:
        if body["messages"][-1]["role"] == "tool":
            return Turn(then)
        return Turn(calls=[(name, json.dumps(arguments)) for name, arguments in calls])

    llm = ScriptedLLM()
    llm.script = script
    return llm


def tool_caller(llm: ScriptedLLM, real: str) -> FastAPI:
    """Where tools are offered, `llm`; all else goes to the model server at `real`, unchanged."""
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def relay(path: str, request: Request) -> Response:
        body = await request.body()
        if body and json.loads(body).get("tools"):
            return await llm.chat(request)
        http = httpx2.AsyncClient(base_url=real, timeout=60)
        headers = {"content-type": "application/json"}
        if key := request.headers.get("authorization"):
            headers["authorization"] = key
        passed = http.build_request(request.method, f"/{path}", content=body, headers=headers)
        reply = await http.send(passed, stream=True)
        return StreamingResponse(
            reply.aiter_raw(),
            reply.status_code,
            {"content-type": reply.headers["content-type"]},
            background=BackgroundTask(http.aclose),
        )

    return app
