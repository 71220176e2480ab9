"""What HTTP can do to a tool server, and what each attack must come to.

The table fits every tool server: a row makes its bytes from the server under test.
"""

import base64
import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import jwt
from tool_http import Post, ToolServer, call, exchange, message, modern, post

from bulkhead.auth import Principal, Role

Made = Post | bytes


@dataclass(frozen=True)
class Attack:
    """One row: its name, what is sent, and the status and outcome that it must have."""

    name: str
    make: Callable[[ToolServer], Made]
    status: int
    outcome: str

    def wire(self, server: ToolServer) -> bytes:
        """The bytes that are sent."""
        made = self.make(server)
        return made if isinstance(made, bytes) else made.wire()


def _bearer(server: ToolServer, token: str) -> Post:
    return post(server).having(authorization=f"Bearer {token}")


def _signed(server: ToolServer, algorithm: str = "HS256", **changes: object) -> Post:
    """A token with other claims; one that is None is left out."""
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": "bulkhead", "aud": server.audience, "sub": "key-1", "tenant": "default",
        "groups": [], "role": "reader", "iat": now, "exp": now + 60,
    }  # fmt: skip
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return _bearer(server, jwt.encode(claims, server.key, algorithm))


def _unsigned(server: ToolServer) -> Post:
    """A good token with its signature cut off."""
    return _bearer(server, server.token().rpartition(".")[0] + ".")


def _none(server: ToolServer) -> Post:
    """A token that says itself that it needs no signature."""
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return _bearer(server, f"{head}.{server.token().split('.')[1]}.")


def _lifted(server: ToolServer) -> Post:
    """A reader's token whose role was changed to admin under the old signature."""
    head, claims, signature = server.token().split(".")
    read = json.loads(base64.urlsafe_b64decode(claims + "=="))
    changed = base64.urlsafe_b64encode(json.dumps(read | {"role": "admin"}).encode())
    return _bearer(server, f"{head}.{changed.decode().rstrip('=')}.{signature}")


def _chunked(server: ToolServer, size: int) -> Post:
    body = b"%x\r\n" % size + b" " * size + b"\r\n0\r\n\r\n"
    return post(server).having(transfer_encoding="chunked").sending(body)


def _twice(server: ToolServer, key: str) -> Post:
    """The good call with one key of its message, or of its params, written twice."""
    body = json.dumps(call(server))
    return post(server).sending(body.replace(f'"{key}":', f'"{key}": "x", "{key}":', 1).encode())


def _short(server: ToolServer) -> bytes:
    """Says fewer bytes than it sends: the rest would be a second request."""
    good = post(server)
    return good.having(content_length=str(len(good.body) - 2)).wire()


def _smuggled(server: ToolServer) -> bytes:
    """Content-Length and Transfer-Encoding at once."""
    good = post(server)
    return good.also("Content-Length", "6").also("Transfer-Encoding", "chunked").wire()


def _named(server: ToolServer, name: str) -> Post:
    return modern(server).having(mcp_name=name)


def _method(server: ToolServer, method: str) -> Post:
    return replace(post(server), method=method)


def _id(server: ToolServer, value: object) -> Post:
    return post(server).sending(call(server) | {"id": value})


def _integer(server: ToolServer, value: object) -> Post:
    return post(server).sending(call(server, **{server.integer: value}))


def _operation(server: ToolServer, method: str, params: object) -> Post:
    return post(server).sending(message(method, params))


OTHER = Principal("key-1", "default", frozenset(), Role.ADMIN)

MALFORMED = "malformed_request"

ATTACKS = [
    # who calls
    Attack("no token", lambda s: post(s).having(authorization=None), 401, "unauthenticated"),
    Attack("empty token", lambda s: _bearer(s, ""), 401, "unauthenticated"),
    Attack("no JWT", lambda s: _bearer(s, "bh_admin"), 401, "unauthenticated"),
    Attack(
        "basic scheme",
        lambda s: post(s).having(authorization=f"Basic {s.token()}"),
        401,
        "unauthenticated",
    ),
    Attack(
        "token in the query",
        lambda s: replace(
            post(s).having(authorization=None), target=f"/mcp?access_token={s.token()}"
        ),
        401,
        "unauthenticated",
    ),
    Attack(
        "token in a cookie",
        lambda s: post(s).having(authorization=None, cookie=f"token={s.token()}"),
        401,
        "unauthenticated",
    ),
    Attack(
        "two tokens",
        lambda s: post(s).also("Authorization", f"Bearer {s.token()}"),
        401,
        "unauthenticated",
    ),
    Attack("expired", lambda s: _bearer(s, s.token(ttl=-1)), 401, "unauthenticated"),
    Attack(
        "another server's token",
        lambda s: _bearer(s, s.token(audience="mcp-other")),
        401,
        "unauthenticated",
    ),
    Attack("audience in a list", lambda s: _signed(s, aud=[s.audience]), 401, "unauthenticated"),
    Attack("audience by prefix", lambda s: _signed(s, aud=s.audience[:-1]), 401, "unauthenticated"),
    Attack("another issuer", lambda s: _signed(s, iss="evil"), 401, "unauthenticated"),
    Attack("no expiry", lambda s: _signed(s, exp=None), 401, "unauthenticated"),
    Attack("no tenant", lambda s: _signed(s, tenant=None), 401, "unauthenticated"),
    Attack("empty tenant", lambda s: _signed(s, tenant=""), 401, "unauthenticated"),
    Attack("tenant is a list", lambda s: _signed(s, tenant=["default"]), 401, "unauthenticated"),
    Attack("groups are text", lambda s: _signed(s, groups="staff"), 401, "unauthenticated"),
    Attack("unknown role", lambda s: _signed(s, role="root"), 401, "unauthenticated"),
    Attack(
        "not valid yet", lambda s: _signed(s, nbf=int(time.time()) + 999), 401, "unauthenticated"
    ),
    Attack("alg none", _none, 401, "unauthenticated"),
    Attack("alg HS512", lambda s: _signed(s, "HS512"), 401, "unauthenticated"),
    Attack("signature cut off", _unsigned, 401, "unauthenticated"),
    Attack("role changed", _lifted, 401, "unauthenticated"),
    Attack(
        "foreign signature",
        lambda s: _bearer(s, replace(s, key=b"k" * 64).token(OTHER)),
        401,
        "unauthenticated",
    ),
    Attack("token of 20 kB", lambda s: _bearer(s, "a" * 20_000), 401, "unauthenticated"),
    # from where
    Attack("foreign Host", lambda s: post(s).having(host="evil.test"), 421, "misdirected_request"),
    Attack("Host, no port", lambda s: post(s).having(host="127.0.0.1"), 421, "misdirected_request"),
    Attack(
        "Host, other port", lambda s: post(s).having(host="127.0.0.1:1"), 421, "misdirected_request"
    ),
    Attack(
        "Host suffix",
        lambda s: post(s).having(host="localhost.evil.test"),
        421,
        "misdirected_request",
    ),
    Attack("no Host", lambda s: post(s).having(host=None), 421, "misdirected_request"),
    Attack("two Hosts", lambda s: post(s).also("Host", "evil.test"), 421, "misdirected_request"),
    Attack(
        "X-Forwarded-Host", lambda s: post(s).also("X-Forwarded-Host", "evil.test"), 200, "result"
    ),
    Attack("foreign Origin", lambda s: post(s).having(origin="http://evil.test"), 403, "forbidden"),
    Attack("Origin null", lambda s: post(s).having(origin="null"), 403, "forbidden"),
    Attack("empty Origin", lambda s: post(s).having(origin=""), 403, "forbidden"),
    Attack(
        "Origin of the page's own host",
        lambda s: post(s).having(origin=s.url),
        403,
        "forbidden",
    ),
    # how
    *(
        Attack(f"method {name}", partial(_method, method=name), 405, "method_not_allowed")
        for name in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
    ),
    Attack("lower-case method", lambda s: _method(s, "post"), 400, "malformed_request"),
    Attack(
        "text/plain", lambda s: post(s).having(content_type="text/plain"), 415,
        "unsupported_media_type",
    ),
    Attack(
        "no content type", lambda s: post(s).having(content_type=None), 415,
        "unsupported_media_type",
    ),
    Attack(
        "application/jsonp", lambda s: post(s).having(content_type="application/jsonp"), 415,
        "unsupported_media_type",
    ),
    Attack(
        "UTF-16", lambda s: post(s).having(content_type="application/json; charset=utf-16"), 415,
        "unsupported_media_type",
    ),
    Attack(
        "gzip bomb",
        lambda s: post(s).having(content_encoding="gzip").sending(gzip.compress(b" " * 2**24)),
        415,
        "unsupported_media_type",
    ),
    Attack("accepts no JSON", lambda s: post(s).having(accept="text/html"), 406, "rpc -32600"),
    Attack("body too large", lambda s: post(s).sending(b" " * 2**18), 413, "too_large"),
    Attack("body too large, chunked", lambda s: _chunked(s, 2**18), 413, "too_large"),
    Attack("length too small", _short, 400, "malformed_request"),
    Attack("negative length", lambda s: post(s).having(content_length="-1"), 400, MALFORMED),
    Attack("length no number", lambda s: post(s).having(content_length="abc"), 400, MALFORMED),
    Attack("length and chunked", _smuggled, 400, "malformed_request"),
    Attack(
        "two lengths",
        lambda s: post(s).also("Content-Length", "5").also("Content-Length", "6"),
        400,
        "malformed_request",
    ),
    Attack("obsolete folding", lambda s: post(s).having(x_fold="a\r\n b"), 400, MALFORMED),
    Attack("1 MB of baggage", lambda s: post(s).having(baggage="a" * 2**20), 431, "head_too_large"),
    Attack("no HTTP", lambda s: b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03\r\n\r\n", 400, MALFORMED),
    Attack("another path", lambda s: replace(post(s), target="/mcp/../admin"), 404, "not_found"),
    Attack("path below", lambda s: replace(post(s), target="/mcp/x"), 404, "not_found"),
    Attack("API page", lambda s: replace(_method(s, "GET"), target="/docs"), 404, "not_found"),
    # what
    Attack("empty body", lambda s: post(s).sending(b""), 400, "malformed_request"),
    Attack("no JSON", lambda s: post(s).sending(b"{"), 400, "malformed_request"),
    Attack("two values", lambda s: post(s).sending(b"{} {}"), 400, "malformed_request"),
    Attack("batch", lambda s: post(s).sending([call(s)]), 400, "malformed_request"),
    Attack("a number", lambda s: post(s).sending(b"1"), 400, "malformed_request"),
    Attack("NaN", lambda s: post(s).sending(b'{"id": NaN}'), 400, "malformed_request"),
    Attack("deep nesting", lambda s: post(s).sending(b"[" * 50_000), 400, "malformed_request"),
    Attack("huge integer", lambda s: post(s).sending(b"9" * 9_000), 400, "malformed_request"),
    Attack("invalid UTF-8", lambda s: post(s).sending(b'"\xff"'), 400, "malformed_request"),
    Attack("byte order mark", lambda s: post(s).sending(b"\xef\xbb\xbf{}"), 400,
           "malformed_request"),
    Attack(
        "lone surrogate", lambda s: post(s).sending(call(s, x="\ud800")), 400, "malformed_request"
    ),
    *(
        Attack(f"{key} twice", partial(_twice, key=key), 400, "malformed_request")
        for key in ("method", "name", "arguments")
    ),
    *(
        Attack(
            f"id {value!r}",
            partial(_id, value=value),
            400,
            "malformed_request",
        )
        for value in (True, None, 1.5, [1], {"a": 1})
    ),
    Attack(
        "JSON-RPC 1.0", lambda s: post(s).sending(call(s) | {"jsonrpc": "1.0"}), 400,
        "malformed_request",
    ),
    Attack(
        "a response", lambda s: post(s).sending({"jsonrpc": "2.0", "id": 1, "result": {}}), 400,
        "malformed_request",
    ),
    # which operation
    Attack("unknown method", lambda s: post(s).sending(message("tools/write")), 200, "rpc -32601"),
    *(
        Attack(
            f"no {method}",
            partial(_operation, method=method, params=params),
            200,
            "rpc -32601",
        )
        for method, params in {
            "resources/list": {},
            "resources/read": {"uri": "file:///etc/passwd"},
            "prompts/list": {},
            "logging/setLevel": {"level": "debug"},
            "completion/complete": {
                "ref": {"type": "ref/prompt", "name": "x"}, "argument": {"name": "a", "value": ""},
            },
        }.items()
    ),
    Attack(
        "unknown tool",
        lambda s: post(s).sending(message("tools/call", {"name": "write_file", "arguments": {}})),
        200,
        "rpc -32602",
    ),
    Attack(
        "tool name is a list",
        lambda s: post(s).sending(message("tools/call", {"name": [s.tool]})),
        200,
        "rpc -32602",
    ),
    Attack(
        "arguments are a list",
        lambda s: post(s).sending(message("tools/call", {"name": s.tool, "arguments": [1]})),
        200,
        "rpc -32602",
    ),
    Attack(
        "params are a list", lambda s: post(s).sending(message("tools/call", [1])), 400,
        "malformed_request",
    ),
    Attack(
        "unknown argument", lambda s: post(s).sending(call(s, root="/etc")), 200, "tool_error"
    ),
    *(
        Attack(
            f"integer as {value!r}",
            partial(_integer, value=value),
            200,
            "tool_error",
        )
        for value in ("1", True, 1.0, [1], 10**400)
    ),
    Attack(
        "forged session", lambda s: post(s).having(mcp_session_id="of-another"), 200, "result"
    ),
    Attack(
        "garbage trace context",
        lambda s: post(s).having(traceparent="00-zz", tracestate="=,=" * 500),
        200,
        "result",
    ),
    # the headers of the 2026 protocol
    Attack("modern call", modern, 200, "result"),
    Attack(
        "unknown version", lambda s: modern(s).having(mcp_protocol_version="2999-01-01"), 400,
        "rpc -32020",
    ),
    Attack(
        "garbage version", lambda s: post(s).having(mcp_protocol_version="'; drop"), 400,
        "rpc -32602",
    ),
    Attack("no method header", lambda s: modern(s).having(mcp_method=None), 400, "rpc -32020"),
    Attack(
        "other method header", lambda s: modern(s).having(mcp_method="ping"), 400, "rpc -32020"
    ),
    Attack("other name header", lambda s: _named(s, "another_tool"), 400, "rpc -32020"),
    Attack("two name headers", lambda s: modern(s).also("Mcp-Name", "x"), 400, "rpc -32020"),
    Attack("broken base64 name", lambda s: _named(s, "=?base64?%%%?="), 400, "rpc -32020"),
    Attack("modern batch", lambda s: modern(s).sending([call(s)]), 400, "malformed_request"),
]  # fmt: skip


def check(server: ToolServer, attack: Attack) -> None:
    """Send the attack: it comes to what it must, tells nothing, and the server serves on."""
    reply = exchange(server, attack.wire(server))
    assert (reply.status, reply.outcome) == (attack.status, attack.outcome), reply.body
    for secret in (server.key, server.token().encode(), b"Traceback", b".py", b"site-packages"):
        assert secret not in reply.body
    assert exchange(server, post(server).wire()).outcome == "result"
