"""Write the generated files of `observability/`: rules of the objectives, and dashboards."""

import json
from pathlib import Path

import typer
import yaml

from embedded.parts import ROOT
from monitoring import slo
from monitoring.boards import BOARDS

OBSERVABILITY = ROOT / "observability"
_HEAD = "# Made by scripts/monitoring/generate.py from scripts/monitoring/slo.py.\n"


class _Dumper(yaml.SafeDumper):
    """Writes each value out, without anchors, and text of several lines as such."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def generated() -> dict[Path, str]:
    """What each generated file has to say."""
    rules = yaml.dump(slo.rules(), Dumper=_Dumper, sort_keys=False, width=10_000)
    files = {OBSERVABILITY / "prometheus/rules/slo.yml": _HEAD + rules}
    for board in BOARDS:
        path = OBSERVABILITY / f"grafana/dashboards/{board.uid}.json"
        files[path] = json.dumps(board.model(), indent=2, sort_keys=True) + "\n"
    return files


def main() -> None:
    """Write every file that is not as it should be."""
    for path, text in generated().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    typer.run(main)
