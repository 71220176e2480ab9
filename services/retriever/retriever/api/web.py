"""`GET /`: the page that shows the retriever off, and its files, behind a strict policy."""

import json
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from retriever.settings import RetrieverSettings

FOLDER = Path(__file__).parent.parent / "web"

_NOTHING_FROM_ELSEWHERE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"  # no string becomes markup
)
_HEADERS = {
    "Content-Security-Policy": _NOTHING_FROM_ELSEWHERE,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # kept, and asked about each time: the answer is 304
}
# Named with the first answer, so that no module waits for the one that imports it; the style
# first, as nothing shows before it and a browser has six connections.
_EARLY = ", ".join(
    [
        "<web/style.css>; rel=preload; as=style",
        *(
            f"<web/{module.relative_to(FOLDER).as_posix()}>; rel=modulepreload"
            for module in sorted(FOLDER.rglob("*.js"))
        ),
    ]
)


class Page(StaticFiles):
    """The page's files, each with the headers that keep the page to itself."""

    def __init__(self) -> None:
        super().__init__(directory=FOLDER, html=True)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file with its ETag, or 304; raises `HTTPException` 404 and 405."""
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        if response.headers.get("content-type", "").startswith("text/html"):
            response.headers["Link"] = _EARLY
        return response


class PageConfig(BaseModel):
    """What the page has to know before anyone gives it a key; nothing here is secret."""

    grafana_url: str | None
    max_document_bytes: int
    tools: bool
    examples: list[str]


def add_page(app: FastAPI, settings: RetrieverSettings, tools: bool) -> None:
    """Serve the page at `/` and its files under `/web`. No key is asked for: nothing is in them.

    `tools` says whether there is a tool server.
    """
    config = PageConfig(
        grafana_url=str(settings.grafana_url) if settings.grafana_url else None,
        max_document_bytes=min(settings.max_document_bytes, settings.max_body_bytes),
        tools=tools,
        examples=json.loads((FOLDER / "examples.json").read_text(encoding="utf-8")),
    )

    async def page_config() -> PageConfig:
        return config

    page = GZipMiddleware(Page())
    app.add_api_route("/web/config.json", page_config, include_in_schema=False)
    app.router.routes.append(Route("/", page))
    app.mount("/web", page)
