"""The comparisons behind the answers' constants, against a scripted retriever over HTTP."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from evaluation.sweep_answers import BUDGETS, RELEVANCES, WORTHS, app


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(table: str, named: int = 2) -> dict[tuple[str, ...], list[str]]:
    """The cells of each row by its first ones."""
    lines = [line for line in table.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    return {tuple(row[:named]): row[named:] for row in cells}


def test_a_gate_is_judged_by_what_passes_it(
    collection: Path, retriever: Any, key_file: Path
) -> None:
    address = ("--url", retriever.url, "--key-file", key_file)
    table = rows(run("gate", "--data", collection, "--foreign", collection, *address))

    # Every chunk found has a cosine of .5; left out, the moon's and the chess board's questions
    # still find nothing, or a chunk without their words.
    assert table["0.0", "0.50"][0] == "1.00"
    assert float(table["1.0", "0.90"][0]) > float(table["1.0", "0.90"][1])
    assert all(float(cell) <= 1 for cells in table.values() for cell in cells)


def test_a_grounding_check_is_judged_by_which_answers_it_cites(
    collection: Path, retriever: Any, key_file: Path, tmp_path: Path
) -> None:
    question = "Who visited the Moon in 1969?"
    told = [
        ("The Moon was visited by Neil Armstrong in 1969. [1]", True),
        ("Fishermen celebrate their harbour with lanterns.", False),
    ]
    records = [
        {"kind": "answerable", "id": "q1", "question": question, "answer": answer}
        | {"abstained": False, "contains_gold": gold}
        for answer, gold in told
    ]
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"records": records}))

    address = ("--url", retriever.url, "--key-file", key_file)
    table = rows(run("grounding", answers, "--data", collection, *address))

    right, wrong = table["0.25", "0.6"]
    assert right.startswith("1.000")
    assert wrong.startswith("0.000")


def test_what_is_shown_is_judged_by_the_gold_in_it_and_by_its_tokens(
    collection: Path, retriever: Any, key_file: Path
) -> None:
    address = ("--url", retriever.url, "--key-file", key_file)
    table = rows(run("shown", "--data", collection, *address), named=3)

    # Two chunks, as long as their document, of every document found; all are equally near.
    gold, chunks, tokens = table["score", "600", "0.8"]
    assert gold.startswith("1.000")
    assert float(chunks) >= 2
    assert 20 <= float(tokens) <= 600
    assert len(table) == len(WORTHS) * len(BUDGETS) * len(RELEVANCES)
