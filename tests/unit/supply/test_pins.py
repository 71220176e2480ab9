"""What is held by a digest and what is not."""

import subprocess
from pathlib import Path

import pytest

from supply.finding import ROOT
from supply.pins import floating

DIGEST = "sha256:" + "a" * 64
HASHED = f"cranes==1.0 \\\n    --hash={DIGEST}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return tmp_path


def write(tree: Path, name: str, text: str) -> None:
    (tree / name).parent.mkdir(parents=True, exist_ok=True)
    (tree / name).write_text(text)


def test_this_tree_is_held() -> None:
    assert list(floating(ROOT)) == []


HELD = {
    "Dockerfile": (
        f"ARG BASE=python:3.11@{DIGEST}\nFROM ${{BASE}} AS build\nFROM scratch\n"
        "COPY --from=build /a /a\nCOPY --from=0 /a /b\n"
    ),
    "compose.yaml": (
        f"services:\n  a:\n    image: ${{A:-qdrant/qdrant:v1@{DIGEST}}} # why\n"
        "  b:\n    image: bulkhead/retriever\n"
    ),
    ".github/workflows/a.yml": (
        f"steps:\n  - uses: actions/checkout@{'c' * 40} # v6\n  - uses: ./a\n"
    ),
    "chart/templates/a.yaml": 'image: "{{ .Values.image }}"\n',
    "tests/stack/Dockerfile": "FROM standin/python:3.11\n",
    "requirements.lock": f"# a comment\n{HASHED}    # via x\nberths==2 ; python_version < '4' \\\n"
    f"    --hash={DIGEST}\n",
}


def test_what_is_held_is_no_finding(tree: Path) -> None:
    for name, text in HELD.items():
        write(tree, name, text)
    assert list(floating(tree)) == []


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("Dockerfile", "FROM python:3.11\n", "Dockerfile:1: python:3.11 has no digest"),
        ("Dockerfile", "FROM --platform=x python:3.11 AS b\nFROM b\n", "python:3.11 has no digest"),
        ("Dockerfile", f"FROM python@{DIGEST}\n", "has no tag"),
        ("a/Dockerfile.gpu", "ARG BASE\nFROM ${BASE}\n", "Dockerfile.gpu:2: ${BASE} has no digest"),
        ("Dockerfile", f"FROM a:1@{DIGEST}\nCOPY --from=b:2 /a /a\n", "Dockerfile:2: b:2"),
        ("Dockerfile", f"FROM a:1@{DIGEST}\nRUN --mount=type=bind,from=b:2,target=/b x\n", "b:2"),
        ("compose.yaml", "services:\n  a:\n    image: redis:7\n", "compose.yaml:3: redis:7"),
        ("compose.yaml", "services:\n  a:\n    image: '${R:-redis:7}'\n", "redis:7"),
        ("deploy/values.yaml", "image: qdrant/qdrant:v1.19.1\n", "deploy/values.yaml:1"),
        (".github/workflows/a.yml", "  - uses: actions/checkout@v6\n", "not held to a commit"),
        ("a/requirements.lock", "cranes==1.0\n", "a/requirements.lock:1: cranes has no hash"),
        ("requirements.lock", f"{HASHED}berths>=2 --hash={DIGEST}\n", ":3: berths is not held"),
        ("requirements.lock", f"cranes @ file:///x --hash={DIGEST}\n", "cranes is not held"),
        ("requirements.lock", "-r other.txt\n", "is no requirement"),
    ],
)
def test_what_can_change_is_found(tree: Path, name: str, text: str, said: str) -> None:
    write(tree, name, text)
    (found,) = floating(tree)
    assert said in str(found)
