"""How much a model server has to do, by its own metrics: llama.cpp's and vLLM's."""

import asyncio

import httpx2

_REQUESTS = (
    "llamacpp:requests_processing",
    "llamacpp:requests_deferred",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
)
_LOOK_SECONDS = 0.2


class Load:
    """The requests at one model server. One without such metrics counts as idle."""

    def __init__(self, http: httpx2.AsyncClient, address: str, headers: dict[str, str]) -> None:
        """`address` is where `/metrics` lies, without a slash at its end."""
        self._http = http
        self._url = f"{address}/metrics"
        self._headers = headers

    async def idle(self) -> None:
        """Wait until the server has nothing to do."""
        while await self._requests() > 0:  # noqa: ASYNC110 - another process has no event
            await asyncio.sleep(_LOOK_SECONDS)

    async def others(self) -> bool:
        """Whether there is more at the server than the one request of ours."""
        return await self._requests() > 1

    async def _requests(self) -> float:
        try:
            reply = await self._http.get(self._url, headers=self._headers, timeout=5.0)
        except httpx2.HTTPError:
            return 0.0  # whoever asks for an answer learns that the server is not there
        return requests(reply.text) if reply.status_code == httpx2.codes.OK else 0.0


def requests(exposition: str) -> float:
    """The requests that are worked on or wait, in Prometheus' text format."""
    found = 0.0
    for line in exposition.splitlines():
        if line.split("{")[0].split(" ")[0] in _REQUESTS:
            try:
                found += float(line.rsplit(" ", 1)[1])
            except (IndexError, ValueError):
                continue
    return found
