"""The headers of `/docs` and what belongs to it: no page frames it, no script but its own runs."""

import base64
import hashlib
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bulkhead.telemetry.http import DOCUMENTATION

_INLINE = re.compile(rb"<script>(.*?)</script>", re.S)


class DocumentationPolicy:
    """Adds a policy to the pages of the API's description; it names inline scripts by hash.

    Swagger UI sets styles and shows images that are `data:`; neither reaches another host.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(DOCUMENTATION):
            await self.app(scope, receive, send)
            return
        start: Message | None = None

        async def guarded(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message  # until the body is here, whose scripts the policy names
                return
            if start is not None:
                kind = Headers(raw=start["headers"]).get("content-type", "")
                html = message.get("body", b"") if kind.startswith("text/html") else b""
                MutableHeaders(scope=start).update(_headers(html))
                await send(start)
                start = None
            await send(message)

        await self.app(scope, receive, guarded)


def _headers(html: bytes) -> dict[str, str]:
    hashes = "".join(
        f" 'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
        for script in _INLINE.findall(html)
    )
    return {
        "Content-Security-Policy": f"default-src 'none'; script-src 'self'{hashes};"
        " style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
        " form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
    }
