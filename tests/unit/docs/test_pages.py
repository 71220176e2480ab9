"""The pages lead where they say: links to places that are there, commands to modules that are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("s*/**/README.md")])


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings: small letters, hyphens for spaces, nothing else."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def test_every_link_between_the_pages_leads_somewhere() -> None:
    lost, seen = [], 0
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" in link or link.startswith("mailto:"):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            seen += 1
            if not target.exists() or (anchor and anchor not in anchors(target)):
                lost.append(f"{page.relative_to(ROOT)}: {link}")
    assert seen > 40 and lost == []


def test_every_command_of_the_measurements_is_there() -> None:
    pages = (ROOT / "docs" / name for name in ("performance.md", "quality.md"))
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    named = re.findall(r"(?:-m |`)((?:bench|evaluation)\.\w+)", text)
    files = [ROOT / "scripts" / f"{name.replace('.', '/')}.py" for name in named]
    files += [ROOT / one for one in re.findall(r"scripts/[\w/]+\.py", text)]
    assert len(files) > 20
    assert [str(one) for one in files if not one.is_file()] == []
