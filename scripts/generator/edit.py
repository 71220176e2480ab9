"""Additions to a YAML file as text, so that its comments and its layout stay what they are."""

from collections.abc import Sequence

import yaml


class Unplaced(ValueError):
    """A file does not look as it must for something to be added to it."""


def add_item(text: str, path: Sequence[str], item: str) -> str:
    """`text` with `item` at the end of the list at `path`, which has a line for each item.

    `item` is without its dash; its further lines are indented by two spaces.
    """
    node = _at(text, path)
    if not isinstance(node, yaml.SequenceNode) or node.flow_style or not node.value:
        raise Unplaced(f"{'.'.join(path)} is no list of lines")
    mark = node.value[-1].start_mark
    return _below(text, mark.line, mark.column - 2, f"- {item}".splitlines())


def add_key(text: str, path: Sequence[str], block: str, after: str = "") -> str:
    """`text` with `block`, a key and its value, at the end of the mapping at `path`.

    With `after` it stands behind that key. `block` begins at the margin; one of several lines gets
    an empty line before it.
    """
    node = _at(text, path)
    if not isinstance(node, yaml.MappingNode) or node.flow_style or not node.value:
        raise Unplaced(f"{'.'.join(path) or 'the file'} has no keys on lines of their own")
    marks = {key.value: key.start_mark for key, _ in node.value}
    if after and after not in marks:
        raise Unplaced(f"{'.'.join(path)}.{after} is not there")
    mark = marks[after] if after else max(marks.values(), key=lambda one: one.line)
    lines = block.splitlines()
    return _below(text, mark.line, mark.column, ["", *lines] if len(lines) > 1 else lines)


def _at(text: str, path: Sequence[str]) -> yaml.Node:
    node = yaml.compose(text)
    for step in path:
        found = (
            [value for key, value in node.value if key.value == step]
            if isinstance(node, yaml.MappingNode)
            else []
        )
        if not found:
            raise Unplaced(f"{'.'.join(path)} is not there")
        node = found[-1]
    if node is None:
        raise Unplaced("the file is empty")
    return node


def _below(text: str, first: int, column: int, more: Sequence[str]) -> str:
    """`text` with the lines `more`, indented to `column`, below the block that begins at `first`.

    The block is what is indented further. By lines and not by the parser's marks:
    an alias has the place of what it stands for.
    """
    lines = text.splitlines()
    end = first
    for number in range(first + 1, len(lines)):
        line = lines[number]
        if not line.strip():
            continue
        if len(line) - len(line.lstrip()) <= column:
            break
        end = number
    new = [f"{' ' * column}{line}" if line else "" for line in more]
    return "\n".join([*lines[: end + 1], *new, *lines[end + 1 :]]) + "\n"
