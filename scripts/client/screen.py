"""What a person sees: answers as they come, citations under them, the bar of an ingestion.

Words of documents and models are never markup here, and lose every character that a terminal would
act on: a document must not be able to move the cursor, set the title or turn the line around.
"""

import io
import sys
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from client.api import Ending, Retriever

LONGEST_QUOTE = 300
MOST_UNSUPPORTED_SHOWN = 3
_KEPT_CONTROLS = frozenset("\n\t")
# Marks that reorder the text after them; what right-to-left scripts themselves need is kept.
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def terminal() -> Console:
    """The console of standard output; characters that it cannot show become question marks."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


def clean(text: str) -> str:
    """`text` without control characters, other than line ends and tabs, and reordering marks."""
    return "".join(
        character
        for character in text
        if character in _KEPT_CONTROLS
        or (unicodedata.category(character) not in ("Cc", "Cs") and character not in _REORDERING)
    )


def one_line(text: str, longest: int) -> str:
    """`text` cleaned, on one line, cut to `longest` characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


@dataclass(frozen=True)
class Answered:
    """How an answer went."""

    citations: int
    verified: int
    abstained: bool

    @property
    def trustworthy(self) -> bool:
        """It has a citation, and all that it has are what the documents say."""
        return 0 < self.citations == self.verified


def show_answer(retriever: Retriever, question: str, console: Console) -> Answered:
    """Ask, print the words as they stream, then the citations, each checked, and the times.

    Raises RetrieverError, after what was printed so far.
    """
    started, first = time.monotonic(), None
    ending: Ending | None = None
    for piece in retriever.ask(question):
        if isinstance(piece, Ending):
            ending = piece
        else:
            first = time.monotonic() if first is None else first
            console.print(Text(clean(piece)), end="", soft_wrap=True)
    ended = time.monotonic()
    console.print()
    assert ending is not None  # ask() ends with one, or raises
    verified = _show_citations(retriever, ending, console)
    _show_grounding(ending, console)
    words = "no words" if first is None else f"first words after {first - started:.2f} s"
    console.print(Text(f"  {words}, {ended - started:.2f} s in all", style="dim"))
    return Answered(len(ending.citations), verified, ending.grounding.abstained)


def _show_citations(retriever: Retriever, ending: Ending, console: Console) -> int:
    verified = 0
    for citation in ending.citations:
        holds = retriever.verify(citation)
        verified += holds
        page = f", page {citation.page}" if citation.page is not None else ""
        title = one_line(citation.title or citation.source, 80)
        mark = ("✓", "green") if holds else ("✗ not what the document says", "bold red")
        console.print(Text.assemble((f"  [{citation.marker}] ", "cyan"), f"{title}{page}  ", mark))
        quote = Text(f"“{one_line(citation.quote, LONGEST_QUOTE)}”", style="italic dim")
        # Padding wraps to the width of a terminal, and cuts what it may not wrap.
        indented = Padding(quote, (0, 0, 0, 6), expand=False)
        console.print(indented if console.is_terminal else Text("      ") + quote)
    return verified


def _show_grounding(ending: Ending, console: Console) -> None:
    if ending.grounding.abstained:
        console.print(Text("  The answer says that it does not know.", style="yellow"))
    unsupported = list(dict.fromkeys(ending.grounding.unsupported))  # small models say it again
    for sentence in unsupported[:MOST_UNSUPPORTED_SHOWN]:
        words = one_line(sentence, LONGEST_QUOTE)
        console.print(Text(f"  ! no source bears this out: {words}", style="yellow"))
    if (more := len(unsupported) - MOST_UNSUPPORTED_SHOWN) > 0:
        console.print(Text(f"  ! nor {more} other sentences", style="yellow"))
    for part in ending.retrieval.degraded:
        console.print(Text(f"  ! {clean(part)} was down, the search did without", style="yellow"))


def ingestion_bar(console: Console) -> Progress:
    """A bar that counts documents; off a terminal it is printed once, at its end."""
    return Progress(
        TextColumn("  {task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("documents,"),
        TextColumn("{task.fields[chunks]} chunks,"),
        TimeElapsedColumn(),
        console=console,
    )


def show_problems(problems: Sequence[tuple[str, str]], console: Console) -> None:
    """Each file that did not go in, and why."""
    for source, message in problems:
        reason = one_line(message, LONGEST_QUOTE)
        console.print(Text(f"  ✗ {one_line(source, 200)}: {reason}", style="red"))
