"""Waiting until every part says that it can serve."""

import time
from collections.abc import Sequence

import httpx2
from rich.console import Console

from embedded.errors import NotReady
from embedded.parts import Part

READY_SECONDS = 180.0
_POLL_SECONDS = 0.2


def await_ready(parts: Sequence[Part], console: Console, seconds: float = READY_SECONDS) -> None:
    """Show each part becoming ready; NotReady, with what it last said, after `seconds`."""
    started = time.monotonic()
    waiting = {part.name: part for part in parts if part.health}
    said: dict[str, str] = {}
    with (
        httpx2.Client(timeout=3.0, trust_env=False) as http,
        console.status("") as status,
    ):
        while waiting:
            for name, part in list(waiting.items()):
                said[name] = answer(http, part)
                if not said[name]:
                    del waiting[name]
                    seconds_taken = time.monotonic() - started
                    console.print(f"  [green]✓[/] {name:<10} ready after {seconds_taken:.1f} s")
            status.update(f"starting {', '.join(waiting)}")
            if waiting and time.monotonic() - started > seconds:
                reasons = "; ".join(f"{name}: {said[name]}" for name in waiting)
                raise NotReady(f"not ready after {seconds:.0f} s: {reasons}")
            time.sleep(_POLL_SECONDS if waiting else 0)


def answer(http: httpx2.Client, part: Part) -> str:
    """Why `part` is not ready yet; empty when it is."""
    try:
        response = http.get(part.url + part.health)
    except httpx2.TransportError as error:
        return f"no answer ({type(error).__name__})"
    try:
        body = response.json()
    except ValueError:
        body = None
    told = body if isinstance(body, dict) else {}
    if response.is_success and told.get("status") not in ("degraded", "unavailable"):
        return ""
    down = [
        f"{name}: {part.get('detail', '')}"
        for name, part in told.get("parts", {}).items()
        if part.get("state") == "down"
    ]
    return ", ".join(down) or f"status {response.status_code}"
