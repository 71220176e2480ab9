"""`python -m bulk SOURCE --tenant …`: take a corpus in.

Exit status: 0 all is in, 1 some documents failed or nothing could be removed, 2 it did not run.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from pydantic import ValidationError

from bulk.corpus import CorpusError
from bulk.rows import Columns, Taking
from bulk.settings import BulkSettings
from bulk.stores import Told
from bulkhead.errors import Unavailable
from bulkhead.logs import configure_logging
from bulkhead.proxies import spare
from embedding.settings import EmbeddingSettings
from retriever.api.text_schemas import Sharing
from retriever.index.collection import IndexMismatchError
from retriever.ingest.chunkers import check_chunker
from retriever.ingest.runs import principal
from retriever.settings import RetrieverSettings

FAILED, NOT_RUN, STOPPED = 1, 2, 130
_PREFIXES = {
    one.__name__: str(one.model_config.get("env_prefix"))
    for one in (RetrieverSettings, BulkSettings, EmbeddingSettings)
}


def main() -> None:
    """Do what the command line says, with the settings of the environment."""
    arguments = _parser().parse_args()
    spare()
    try:
        told = _told(arguments)
        configure_logging(told.bulk.log_level)
        path = arguments.failed or told.bulk.failed_file
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            status = asyncio.run(_run(told, file, path, mirror=arguments.mirror))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(step) for step in problem["loc"])
        prefix = _PREFIXES.get(error.title, "")
        _end(f"{prefix}{where.upper() if prefix else where}: {problem['msg']}")
    except (CorpusError, IndexMismatchError, ValueError, OSError, RuntimeError) as error:
        _end(str(error))
    except Unavailable as error:
        _end(error.message)
    except KeyboardInterrupt:
        status = STOPPED
    if status == STOPPED:
        # A thread may still wait in Ray's own code, where the interpreter's end would abort.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _end(reason: str) -> None:
    sys.stderr.write(f"bulk: {reason}\n")
    sys.exit(NOT_RUN)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bulk", description="Take a corpus in: files, Parquet and JSON Lines."
    )
    add = parser.add_argument
    add("source", help="a folder, a file, or a URL that fsspec knows: s3://bucket/folder")
    add("--tenant", default="default", help="whose the documents are")
    add("--groups", type=_listed, default=(), metavar="A,B", help="who may see them; none: all")
    add("--prefix", default="", help="put before each source, to tell corpora apart")
    add("--mirror", action="store_true", help="remove what went from the corpus since earlier runs")
    add("--failed", type=Path, metavar="FILE", help="where documents that failed are named")
    add("--text", default="text", metavar="COLUMN", help="the rows' column of the text")
    add("--title", default="title", metavar="COLUMN", help="that of the title")
    add("--source", dest="id", default="source", metavar="COLUMN", help="that of the source, or id")
    add(
        "--metadata",
        type=_listed,
        metavar="A,B",
        help="those that become metadata; by default all others",
    )
    return parser


def _listed(told: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in told.split(",") if one.strip())


def _told(arguments: argparse.Namespace) -> Told:
    settings = RetrieverSettings()
    check_chunker(settings.chunker)
    groups = tuple(Sharing(groups=[arguments.tenant, *arguments.groups]).groups[1:])
    source = arguments.source
    if "://" not in source:
        source = str(Path(source).absolute())
    columns = Columns(arguments.text, arguments.title, arguments.id, metadata=arguments.metadata)
    return Told(
        settings,
        BulkSettings(),
        EmbeddingSettings(),
        source,
        arguments.prefix,
        Taking(groups, columns, settings.max_document_bytes, arguments.prefix),
        principal(arguments.tenant, groups),
    )


async def _run(told: Told, file: BinaryIO, path: Path, *, mirror: bool) -> int:
    from bulk.run import RunOver, StepBroke, run
    from bulk.terminal import Terminal, summary

    terminal, started = Terminal(), time.monotonic()

    def failed(one: dict[str, Any]) -> None:
        file.write(orjson.dumps(one) + b"\n")
        file.flush()

    running = asyncio.ensure_future(run(told, terminal.report, failed, mirror=mirror))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    try:
        tally = await running
    except asyncio.CancelledError:
        terminal.end()
        sys.stderr.write("bulk: stopped; what is in stays in, and the next run goes on\n")
        return STOPPED
    except RunOver as error:
        terminal.end()
        sys.stderr.write(f"bulk: {error}\n")
        return NOT_RUN
    except StepBroke as error:
        terminal.end()
        logging.getLogger(__name__).error("a step broke", exc_info=error.__cause__)
        sys.stderr.write("bulk: a step broke; what is in stays in, and the next run goes on\n")
        return NOT_RUN
    terminal.end()
    sys.stderr.write(f"{summary(tally, time.monotonic() - started)}\n")
    if tally.spared:
        sys.stderr.write(f"bulk: nothing was removed: {tally.spared}\n")
    if tally.counts["failed"]:
        sys.stderr.write(f"bulk: what failed, and why: {path}\n")
    return FAILED if tally.counts["failed"] or tally.spared else 0


if __name__ == "__main__":
    main()
