"""Packages as pip would install them, written onto a path by a test."""

from pathlib import Path


def install(folder: Path, module: str, code: str, group: str, names: dict[str, str]) -> None:
    """A package of one module, with entry points: each a name and an object of that module."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(code)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{name} = {module}:{attribute}" for name, attribute in names.items()]
    (about / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
