"""`GET /`: the page that shows the retriever off, and its files, behind a strict policy."""

import hashlib
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.datastructures import Headers, QueryParams
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from retriever.branding.branding import Branding
from retriever.branding.html import as_data, as_options, in_markup, render
from retriever.branding.languages import choose
from retriever.settings import RetrieverSettings

FOLDER = Path(__file__).parent.parent / "web"
_PAGE = frozenset({".", "index.html"})

_NOTHING_FROM_ELSEWHERE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{};"
    " form-action 'none'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"  # no string becomes markup
)
_HEADERS = {
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
        "<web/colours.css>; rel=preload; as=style",
        "<web/style.css>; rel=preload; as=style",
        *(
            f"<web/{module.relative_to(FOLDER).as_posix()}>; rel=modulepreload"
            for module in sorted(FOLDER.rglob("*.js"))
        ),
    ]
)


class Page(StaticFiles):
    """The page's files, each with the headers that keep the page to itself."""

    def __init__(self, branding: Branding, provider: str = "") -> None:
        """`provider` is the one other origin that the page may ask."""
        super().__init__(directory=FOLDER)
        self._policy = _NOTHING_FROM_ELSEWHERE.format(f" {provider}" if provider else "")
        template = (FOLDER / "index.html").read_text(encoding="utf-8")
        scripts = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.js"))
        of_markup = {
            key
            for key in in_markup(template)
            if f'"{key}"' not in scripts and f"`{key.rpartition('.')[0]}.${{" not in scripts
        }
        names = {code: str(words["language"]) for code, words in branding.languages.items()}
        logo = f"logo.{branding.logo.suffix}"
        self._languages = list(branding.languages)
        self._pages = {
            code: _Made(
                render(
                    template,
                    words,
                    {
                        "html.language": code,
                        "html.title": escape(branding.looks.title),
                        "html.logo": f"web/{logo}",
                        "html.words": as_data(
                            {key: words[key] for key in words if key not in of_markup}
                        ),
                        "html.languages": as_options(names, code),
                        "html.one_language": "hidden" if len(names) == 1 else "",
                    },
                ).encode(),
                "text/html; charset=utf-8",
                {"Vary": "Accept-Language", "Content-Language": code, "Link": _EARLY},
            )
            for code, words in branding.languages.items()
        }
        self._made = {
            "colours.css": _Made(branding.looks.colours.style().encode(), "text/css"),
            logo: _Made(branding.logo.content, branding.logo.media_type),
        }

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file with its ETag, or 304; raises `HTTPException` 404 and 405."""
        made = self._pages[self._language(scope)] if path in _PAGE else self._made.get(path)
        if made is None or scope["method"] not in ("GET", "HEAD"):
            response = await super().get_response(path, scope)
        else:
            response = Response(made.content, media_type=made.media_type, headers=made.headers)
            if self.is_not_modified(response.headers, Headers(scope=scope)):
                response = NotModifiedResponse(response.headers)
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = self._policy
        if path.startswith("logo."):  # opened by itself an SVG would be a document
            response.headers["Content-Security-Policy"] = f"{self._policy}; sandbox"
        return response

    def _language(self, scope: Scope) -> str:
        """The language that the address asks for, else the browser."""
        asked = QueryParams(scope["query_string"]).get("language")
        if asked in self._languages:
            return asked
        return choose(Headers(scope=scope).get("accept-language", ""), self._languages)


class _Made:
    """A file that is made at start: its bytes, its type and its headers, an ETag among them."""

    def __init__(
        self, content: bytes, media_type: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self.content, self.media_type = content, media_type
        etag = hashlib.sha256(content).hexdigest()[:32]
        self.headers = {"ETag": f'"{etag}"', **(headers or {})}


class PageLogin(BaseModel):
    """Where the page logs people in."""

    issuer: str
    client_id: str
    scope: str
    parameters: dict[str, str]


class PageConfig(BaseModel):
    """What the page has to know before anyone gives it a key; nothing here is secret."""

    grafana_url: str | None
    max_document_bytes: int
    tools: bool
    examples: Sequence[str]
    login: PageLogin | None


def add_page(app: FastAPI, settings: RetrieverSettings, branding: Branding, tools: bool) -> None:
    """Serve the page at `/` and its files under `/web`. No key is asked for: nothing is in them.

    `tools` says whether there is a tool server.
    """
    config = PageConfig(
        grafana_url=str(settings.grafana_url) if settings.grafana_url else None,
        max_document_bytes=min(settings.max_document_bytes, settings.max_body_bytes),
        tools=tools,
        examples=branding.looks.examples,
        login=_login(settings),
    )

    async def page_config() -> PageConfig:
        return config

    provider = _origin(settings.oidc_issuer) if config.login else ""
    page = GZipMiddleware(Page(branding, provider))
    app.add_api_route("/web/config.json", page_config, include_in_schema=False)
    app.router.routes.append(Route("/", page))
    app.mount("/web", page)


def _login(settings: RetrieverSettings) -> PageLogin | None:
    if not (settings.oidc_issuer and settings.oidc_client_id):
        return None
    return PageLogin(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        scope=settings.oidc_scope,
        parameters=settings.oidc_parameters,
    )


def _origin(url: str) -> str:
    """Scheme, name and port; the issuer's are checked at start."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
