"""The tasks for a model with tools: what is right, and what counts as right."""

from evaluation.tool_tasks import BOTH, Done, Task, right, tasks


def test_there_are_twenty_tasks_whose_values_are_those_of_the_rows_and_files() -> None:
    made = tasks()
    assert len(made) == 20
    assert len({one.question for one in made}) == 20
    of = {one.question: one.holds for one in made}
    assert of["How many rows does the table harbour.incidents have?"] == ("116",)
    assert of["How many incidents began in 2026, by the database?"] == ("16",)
    assert of["Who handled the incident INC-112?"] == ("Søren Aagaard",)
    costs = (
        "What did the service ask-the-harbour cost in August 2026, in euros, all items together?"
    )
    assert of[costs] == ("3980",)
    rolled = "How many deployments of the service ask-the-harbour were rolled back?"
    assert of[rolled] == ("2",)
    assert of["How many PDF files are in the folder examples/documents?"] == ("2",)


def test_a_value_counts_where_it_stands_by_itself() -> None:
    assert right("It cost 3,980 euros.", ("3980",))
    assert right("It cost 3980.00 euros.", ("3980.00",))
    assert right("Version **17**.", ("17",))
    assert right("by søren aagaard", ("Søren Aagaard",))
    assert not right("Version 170.", ("17",))
    assert not right("Version 1.17.", ("17",))
    assert not right("17.5 minutes", ("17",))
    assert not right("INC-116", ("16",))
    assert not right("17 lines", ("17", "47"))


def test_a_right_value_without_a_call_is_a_guess_and_a_call_in_the_answer_is_seen() -> None:
    task = Task(BOTH, "How many?", ("47",))
    assert Done(task, "47.", [("query", "done")]).right
    assert not Done(task, "47.", [("query", "failed")]).right
    assert not Done(task, "47.", []).right
    assert Done(task, '{"name": "query", "arguments": {}}', []).shows_a_call
    assert not Done(task, "47.", []).shows_a_call
