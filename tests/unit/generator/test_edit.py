"""What is added to a YAML file stands in its place, and nothing else of the file changes."""

import difflib
from pathlib import Path

import pytest
import yaml

from generator.edit import Unplaced, add_item, add_key

ROOT = Path(__file__).parents[3]
FILE = """\
# The head.
x-edge: &edge
  internal: true # inside

services:
  one:
    networks: [a, b] # on one line
    volumes:
      - first:/x # the first

      - second:/y
      # about what follows
    environment: &told
      KEY: |-
        {"a": 1,
          "b": 2}

  # The other one.
  two:
    environment: *told
    image: x

networks:
  a: *edge
  b: *edge

# The end.
"""


def added(before: str, after: str) -> list[str]:
    """The lines that are new; that none is gone is asserted."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    assert not [line for line in lines if line.startswith("- ")]
    return [line[2:] for line in lines if line.startswith("+ ")]


def test_an_item_comes_to_the_end_of_its_list() -> None:
    text = add_item(FILE, ["services", "one", "volumes"], "third:/z")
    assert added(FILE, text) == ["      - third:/z"]
    assert yaml.safe_load(text)["services"]["one"]["volumes"][-1] == "third:/z"
    assert "      - second:/y\n      - third:/z\n      # about what follows\n" in text


def test_a_key_comes_behind_another_or_to_the_end_also_where_values_are_aliases() -> None:
    text = add_key(FILE, ["services"], "new:\n  image: y", after="one")
    assert sorted(added(FILE, text)) == ["", "    image: y", "  new:"]
    assert list(yaml.safe_load(text)["services"]) == ["one", "new", "two"]
    text = add_key(text, ["networks"], "c: *edge")
    assert yaml.safe_load(text)["networks"]["c"] == {"internal": True}
    assert text.endswith("  b: *edge\n  c: *edge\n\n# The end.\n")


def test_what_is_not_there_or_of_another_form_is_told() -> None:
    for path in (["nothing"], ["services", "three"], ["services", "one", "networks"]):
        with pytest.raises(Unplaced, match=path[-1]):
            add_item(FILE, path, "x")
    for path in (["services", "one", "volumes"], ["services", "two", "image"]):
        with pytest.raises(Unplaced):
            add_key(FILE, path, "x: 1")
    with pytest.raises(Unplaced, match="three is not there"):
        add_key(FILE, ["services"], "x: 1", after="three")


def test_our_own_compose_file_keeps_every_line() -> None:
    before = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    text = add_key(before, ["networks"], "retriever-x: *edge")
    text = add_item(text, ["services", "retriever", "networks"], "retriever-x")
    assert [line.strip() for line in added(before, text)] == ["- retriever-x", "retriever-x: *edge"]
    assert "retriever-x" in yaml.safe_load(text)["services"]["retriever"]["networks"]
