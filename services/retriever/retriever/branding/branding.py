"""All of a fork's words and looks, read from the package and from a folder of its own."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from retriever.branding.answers import Answers
from retriever.branding.colours import Colours
from retriever.branding.languages import NAME, REFERENCE, Words, complete, read_words
from retriever.branding.logo import MOST_BYTES, Logo, read_logo

PACKAGED = Path(__file__).parent / "files"
_KNOWN = frozenset({"answers.toml", "page.toml", "languages", "README.md"})
_LOGOS = (".svg", ".png")
_FLAT = "languages."  # as in a ConfigMap, whose keys have no folders
_MOST_FILE = 256 * 2**10
Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Model = TypeVar("Model", bound=BaseModel)


class Looks(BaseModel):
    """`page.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Annotated[Line, Field(max_length=60)]
    logo: str
    languages: Annotated[tuple[str, ...], Field(min_length=1, max_length=30)]
    examples: Annotated[tuple[Line, ...], Field(max_length=10)]
    colours: Colours


@dataclass(frozen=True)
class Branding:
    """Words and looks, complete and checked."""

    answers: Answers
    looks: Looks
    logo: Logo
    languages: dict[str, Words]
    """Those that are offered, in order."""

    @classmethod
    def load(cls, folder: Path | None) -> "Branding":
        """The packaged files, with what `folder` has in their place.

        `answers.toml`, `page.toml` and the files in `languages` hold what differs, a key at a time.
        Raises `ValueError`, in words, with the file that is wrong.
        """
        if folder is not None:
            _look_over(folder)
        answers = _merged(Answers, "answers.toml", folder)
        looks = _merged(Looks, "page.toml", folder)
        return cls(answers, looks, _logo(looks.logo, folder), _languages(looks, folder))


@cache
def packaged() -> Branding:
    """What is used where no setting names a folder."""
    return Branding.load(None)


@contextmanager
def _in(name: str) -> Iterator[None]:
    """Says of what is wrong inside in which file it is."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"branding: {name}: {error}") from error


def _look_over(folder: Path) -> None:
    """Whether all that is there has a meaning: a file by a wrong name would be passed over."""
    if not folder.is_dir():
        raise ValueError(f"branding: {folder.name} is no folder that can be read")
    for path in sorted(folder.iterdir()):
        if path.name in _KNOWN or path.name.startswith((".", _FLAT)) or path.suffix in _LOGOS:
            continue
        raise ValueError(f"branding: {path.name} is none of {', '.join(sorted(_KNOWN))}, or a logo")


def _merged(kind: type[Model], name: str, folder: Path | None) -> Model:
    with _in(name):
        table = _table(PACKAGED / name)
        if folder is not None and (folder / name).exists():
            table = _over(table, _table(folder / name))
        try:
            return kind.model_validate(table)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(str(step) for step in problem["loc"])
            told = problem["msg"].removeprefix("Value error, ")
            if problem["type"] == "extra_forbidden":
                told = "there is no such key"
            raise ValueError(f"{where}: {told}") from error


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` in place of what `below` has, table by table."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        merged[key] = _over(old, value) if both and old is not None else value
    return merged


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is no TOML: {error}") from error


def _text(path: Path) -> str:
    try:
        return _bytes(path, _MOST_FILE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 ({error.reason})") from error


def _bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    if len(content) > most:
        raise ValueError(f"it has more than {most} bytes")
    return content


def _logo(name: str, folder: Path | None) -> Logo:
    if Path(name).name != name or name.startswith("."):
        raise ValueError(f"branding: page.toml: logo: {name!r} is no name of a file beside it")
    own = folder / name if folder is not None else None
    path = own if own is not None and own.exists() else PACKAGED / name
    with _in(name):
        return read_logo(_bytes(path, MOST_BYTES))


def _languages(looks: Looks, folder: Path | None) -> dict[str, Words]:
    reference = read_words(_text(PACKAGED / "languages" / f"{REFERENCE}.json"))
    own = _own_languages(folder)
    found: dict[str, Words] = {}
    for name in looks.languages:
        ours = PACKAGED / "languages" / f"{name}.json"
        if not NAME.fullmatch(name) or not (name in own or ours.is_file()):
            raise ValueError(f"branding: page.toml: languages: there is no languages/{name}.json")
        below = read_words(_text(ours)) if ours.is_file() else None
        with _in(f"languages/{name}.json"):
            words = read_words(_text(own[name])) if name in own else {}
            found[name] = complete(words, below, reference)
    if unused := sorted(own.keys() - found.keys()):
        raise ValueError(f"branding: page.toml: languages: {unused[0]} has a file and is not named")
    return found


def _own_languages(folder: Path | None) -> dict[str, Path]:
    """The files of `languages/`, and in a folder that can hold none `languages.de.json`."""
    if folder is None:
        return {}
    found = {}
    for path in sorted([*folder.glob("languages/[!.]*"), *folder.glob(f"{_FLAT}*")]):
        name = path.name.removeprefix(_FLAT)
        code = name.removesuffix(".json")
        if code == name or not NAME.fullmatch(code):
            told = "a file is named as en.json or pt-BR.json"
            raise ValueError(f"branding: languages/{path.name}: {told}")
        if code in found:
            raise ValueError(f"branding: languages/{name} is there twice")
        found[code] = path
    return found
