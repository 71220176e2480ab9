"""Fuzz the parser with atheris, guided by the branches that an input takes: `make fuzz RUNS=…`.

Each input is a document of some kind, damaged; of a zip one of its files is. An input that is
neither read nor refused in words ends it, and is left in the folder of inputs, to make a test of.
"""

import os
import sys
import warnings
from pathlib import Path
from random import Random

import atheris

sys.path.append(str(Path(__file__).parents[1] / "support"))
warnings.simplefilter("ignore")  # libraries say much of damaged files
with atheris.instrument_imports(include=["parser", "openpyxl", "pptx"]):
    from kinds import KINDS, mutated, survives

NAMES = list(KINDS)
PARAGRAPHS = ["The crane lifts 40 tonnes.", "| a | b |\n|---|---|\n| 1 | 2 |", "A café – “open”."]


def one(data: bytes) -> None:
    """Read one input: its first byte says which kind it is said to be."""
    if data:
        survives(data[1:], NAMES[data[0] % len(NAMES)])


def changed(data: bytes, most: int, seed: int) -> bytes:
    """An input changed, as libFuzzer asks for it; now and then of another kind."""
    chance = Random(seed)
    if len(data) < 2:
        kind = chance.randrange(len(NAMES))
        return bytes([kind]) + KINDS[NAMES[kind]](PARAGRAPHS)
    kind = data[0] if chance.random() < 0.98 else chance.randrange(256)
    return (bytes([kind]) + mutated(data[1:], chance))[:most]


def seeds(folder: Path) -> None:
    """Put one document of each kind, and the demo's, into the folder of inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    for n, name in enumerate(NAMES):
        (folder / name).write_bytes(bytes([n]) + KINDS[name](PARAGRAPHS))
    by_extension = {name.partition(".")[2]: n for n, name in enumerate(NAMES)}
    for path in (Path(__file__).parents[2] / "examples" / "documents").iterdir():
        kind = by_extension.get(path.suffix[1:])
        if kind is not None:
            (folder / path.name).write_bytes(bytes([kind]) + path.read_bytes())


if __name__ == "__main__":
    runs, folder = sys.argv[1], Path(sys.argv[2])
    seeds(folder)
    told = [
        f"-runs={runs}",
        f"-seed={os.environ.get('SEED', '0')}",
        "-max_len=200000",
        "-timeout=60",
        "-rss_limit_mb=3000",
    ]
    prefix = f"-artifact_prefix={folder}/"
    atheris.Setup([sys.argv[0], *told, prefix, str(folder)], one, custom_mutator=changed)
    atheris.Fuzz()
