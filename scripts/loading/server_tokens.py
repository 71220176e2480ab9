"""What the model server itself counted, from its Prometheus page."""

import aiohttp

from loading.errors import LoadError

NAMES = {
    "prompt": ("vllm:prompt_tokens_total", "llamacpp:prompt_tokens_total"),
    "completion": ("vllm:generation_tokens_total", "llamacpp:tokens_predicted_total"),
}


async def counted(url: str) -> dict[str, float]:
    """Tokens read and written since the server's start. Raises `LoadError` where it has neither."""
    try:
        async with aiohttp.ClientSession() as http, http.get(url) as reply:
            reply.raise_for_status()
            page = await reply.text()
    except aiohttp.ClientError as error:
        raise LoadError(f"no metrics at {url}: {type(error).__name__}") from error
    found: dict[str, float] = {}
    for line in page.splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        for side, names in NAMES.items():
            if name in names:
                found[side] = found.get(side, 0.0) + float(line.rsplit(" ", 1)[1])
    if not found:
        raise LoadError(f"{url} has no token counters of vLLM or llama.cpp")
    return found
