"""Loads a judged collection in the BEIR layout: corpus.jsonl, queries.jsonl, qrels/<split>.tsv."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.errors import DatasetError

QRELS_HEADER = ["query-id", "corpus-id", "score"]


@dataclass(frozen=True)
class CorpusDocument:
    """One line of corpus.jsonl."""

    id: str
    title: str
    text: str

    @property
    def body(self) -> str:
        """The words to index: the text, or the title where a document is only that."""
        return self.text if self.text.strip() else self.title.strip()


@dataclass(frozen=True)
class Turn:
    """What one side said in a conversation."""

    role: str
    content: str


@dataclass(frozen=True)
class Query:
    """One line of queries.jsonl; what comes after the text is empty where the collection has none.

    The last of the turns is the user's question; `reference` is a whole answer that somebody wrote.
    """

    id: str
    text: str
    answers: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    reference: str = ""


@dataclass(frozen=True)
class Dataset:
    """A collection; `qrels` maps query id to {document id: grade}, a grade over 0 is relevant."""

    name: str
    corpus: dict[str, CorpusDocument]
    queries: dict[str, Query]
    qrels: dict[str, dict[str, int]]

    @property
    def blank(self) -> list[str]:
        """Ids of the documents with neither text nor title: nothing of them can be indexed."""
        return [document.id for document in self.corpus.values() if not document.body]

    def source(self, document_id: str) -> str:
        """The name under which a document is given to the retriever."""
        return f"{self.name}/{document_id}"

    def relevant(self, query_id: str) -> frozenset[str]:
        """Ids of the documents judged relevant for a query."""
        return frozenset(doc for doc, grade in self.qrels.get(query_id, {}).items() if grade > 0)


def load(folder: Path, split: str = "test") -> Dataset:
    """Read a BEIR folder; its name becomes the collection's name.

    Raises DatasetError, naming file and line, for anything missing, malformed, repeated or
    dangling: a collection that is only partly read gives numbers that only look right.
    """
    folder = folder.resolve()
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder")
    corpus = _corpus(folder / "corpus.jsonl")
    queries = _queries(folder / "queries.jsonl")
    qrels = _qrels(folder / "qrels" / f"{split}.tsv", corpus, queries)
    return Dataset(folder.name, corpus, queries, qrels)


def sample(ids: list[str], count: int | None, seed: int) -> list[str]:
    """The first `count` of a seeded shuffle (all where count is None or too large).

    The order of `ids` does not matter, and a smaller sample is the head of a larger one.
    """
    ordered = sorted(ids)
    shuffled = [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
    return shuffled[:count]


def _corpus(path: Path) -> dict[str, CorpusDocument]:
    documents: dict[str, CorpusDocument] = {}
    for where, row in _rows(path):
        id_ = _string(row, "_id", where)
        if id_ in documents:
            raise DatasetError(f"{where}: document {id_!r} is there twice")
        title = _string(row, "title", where) if row.get("title") is not None else ""
        documents[id_] = CorpusDocument(id_, title, _string(row, "text", where))
    return documents


def _queries(path: Path) -> dict[str, Query]:
    queries: dict[str, Query] = {}
    for where, row in _rows(path):
        id_ = _string(row, "_id", where)
        if id_ in queries:
            raise DatasetError(f"{where}: query {id_!r} is there twice")
        text = _string(row, "text", where)
        if not text.strip():
            raise DatasetError(f"{where}: query {id_!r} has no text")
        reference = _string(row, "reference", where) if row.get("reference") is not None else ""
        queries[id_] = Query(id_, text, _answers(row, where), _turns(row, where), reference)
    return queries


def _answers(row: dict[str, Any], where: str) -> tuple[str, ...]:
    """Gold answers, beside the text or, as some collections have it, inside `metadata`."""
    metadata = row.get("metadata")
    nested = metadata.get("answers") if isinstance(metadata, dict) else None
    answers = row.get("answers", nested)
    if answers is None:
        return ()
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise DatasetError(f"{where}: 'answers' must be a list of strings")
    return tuple(answers)


def _turns(row: dict[str, Any], where: str) -> tuple[Turn, ...]:
    turns = row.get("turns", [])
    if not isinstance(turns, list):
        raise DatasetError(f"{where}: 'turns' must be a list")
    read = tuple(
        Turn(_string(turn, "role", where), _string(turn, "content", where))
        for turn in turns
        if isinstance(turn, dict)
    )
    if len(read) != len(turns) or not {turn.role for turn in read} <= {"user", "assistant"}:
        raise DatasetError(f"{where}: 'turns' must have roles user and assistant")
    if read and read[-1].role != "user":
        raise DatasetError(f"{where}: the last of 'turns' must be the user's")
    return read


def _qrels(
    path: Path, corpus: dict[str, CorpusDocument], queries: dict[str, Query]
) -> dict[str, dict[str, int]]:
    lines = _lines(path)
    _, header = next(lines, ("", ""))
    if header.split("\t") != QRELS_HEADER:
        raise DatasetError(
            f"{path}: the first line must be {' '.join(QRELS_HEADER)}, tab-separated"
        )
    qrels: dict[str, dict[str, int]] = {}
    for where, line in lines:
        fields = line.split("\t")
        if len(fields) != len(QRELS_HEADER):
            raise DatasetError(f"{where}: {len(fields)} tab-separated fields, not 3")
        query_id, document_id, score = fields
        if query_id not in queries:
            raise DatasetError(f"{where}: query {query_id!r} is not in queries.jsonl")
        if document_id not in corpus:
            raise DatasetError(f"{where}: document {document_id!r} is not in corpus.jsonl")
        grades = qrels.setdefault(query_id, {})
        if document_id in grades:
            raise DatasetError(f"{where}: ({query_id!r}, {document_id!r}) is judged twice")
        try:
            grades[document_id] = int(score)
        except ValueError as error:
            raise DatasetError(f"{where}: the score {score!r} is not a whole number") from error
    if not qrels:
        raise DatasetError(f"{path}: nothing is judged")
    return qrels


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Non-empty lines of a UTF-8 file with 'file:line' before each; only LF or CRLF end a line."""
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DatasetError(f"{path} is missing") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}") from error
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line.rstrip("\r")


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    empty = True
    for where, line in _lines(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{where}: not JSON: {error}") from error
        if not isinstance(row, dict):
            raise DatasetError(f"{where}: not a JSON object")
        empty = False
        yield where, row
    if empty:
        raise DatasetError(f"{path} is empty")


def _string(row: dict[str, Any], field: str, where: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        raise DatasetError(f"{where}: {field!r} is missing or not a string")
    if field == "_id" and not value:
        raise DatasetError(f"{where}: '_id' is empty")
    return value
