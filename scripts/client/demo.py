"""The demo: this project's own documents in, three questions out, every citation checked."""

import tomllib
from pathlib import Path
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

from client.api import Retriever, RetrieverError
from client.screen import show_answer
from client.upload import find, ingest
from embedded.parts import ROOT

FOLDERS = ("docs", "examples/documents")
# The page greets with the same ones.
PAGE = ROOT / "services/retriever/retriever/branding/files/page.toml"
QUESTIONS: tuple[str, ...] = tuple(tomllib.loads(PAGE.read_text(encoding="utf-8"))["examples"])


def run(retriever: Retriever, console: Console) -> list[str]:
    """The whole demo; what went wrong, step by step: nothing, if all went well."""
    problems = _ingest(retriever, console)
    for question in QUESTIONS:
        console.print()
        console.print(Text(f"? {question}", style="bold"))
        try:
            answered = show_answer(retriever, question, console)
        except RetrieverError as error:
            console.print(Text(f"  ✗ {error}", style="red"))
            problems.append(f"asking “{question}”: {error}")
            continue
        if not answered.trustworthy:
            count = f"{answered.verified} of {answered.citations} citations verify"
            problems.append(
                f"asking “{question}”: {count if answered.citations else 'no citation'}"
            )
    return problems


def _ingest(retriever: Retriever, console: Console) -> list[str]:
    documents = [path for folder in FOLDERS for path in find(ROOT / folder).files]
    if not documents:
        return [f"ingesting: no documents in {' and '.join(FOLDERS)}"]
    console.print(f"Ingesting {' and '.join(FOLDERS)}")
    files = [(path.relative_to(ROOT).as_posix(), path) for path in documents]
    try:
        failures = ingest(retriever, files, console)
    except RetrieverError as error:
        return [f"ingesting: {error}"]
    return [f"ingesting {source}: {message}" for source, message in failures]


def show_next_steps(url: str, key_file: Path, key: str, console: Console) -> None:
    """How to go on from here: in a browser, from the shell and from Python.

    The link carries the key in its fragment, which a browser sends to no server.
    """
    page = f"{url}/#key={quote(key, safe='')}"
    secret = key_file.relative_to(ROOT) if key_file.is_relative_to(ROOT) else key_file
    console.print(
        f"""
In a browser       {page}
Ask your own       make ask Q="…"
Add documents      make ingest DIR=…
The API            {url}/docs

From a shell:
  curl {url}/v1/search -H "Authorization: Bearer $(cat {secret})" \\
    -H "Content-Type: application/json" -d '{{"query": "ports"}}'

From Python:
  key = open("{secret}").read().strip()
  client = openai.OpenAI(base_url="{url}/v1", api_key=key)
  question = {{"role": "user", "content": "Which ports are used?"}}
  print(client.chat.completions.create(model="default", messages=[question]))
""",
        markup=False,
        soft_wrap=True,
    )
