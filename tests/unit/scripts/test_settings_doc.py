"""docs/settings.md says what the services read, all of it, and nothing of this machine."""

import re
from pathlib import Path

import pytest
import typer
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

import settings_doc
from embedded.parts import ROOT


class Sample(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_")

    made: str = Field(default_factory=str, description="Made at start.")
    share: float = Field(0.5, gt=0, lt=1, description="A | B.")
    body_bytes: int = Field(3 * 2**20, ge=1, description="Most bytes.")
    key_file: Path | None = Field(None, description="A file.")
    must: int = Field(le=7, description="No default.")


FIELDS = dict(settings_doc.variables(Sample))


def test_the_committed_page_is_current() -> None:
    assert settings_doc.PAGE.read_text(encoding="utf-8") == settings_doc.page()


def test_every_setting_has_one_row_with_its_description() -> None:
    rows = [line for line in settings_doc.page().splitlines() if line.startswith("| `")]
    names = [
        name
        for owner in settings_doc.SERVICES.values()
        for name, _ in settings_doc.variables(owner)
    ]
    assert [row.split("`")[1] for row in rows] == names
    assert all(re.fullmatch(r"\| `[A-Z0-9_]+` \| .+ \| .+ \| .+[.…] \|", row) for row in rows), rows


def test_no_default_holds_a_path_of_this_machine() -> None:
    assert str(ROOT) not in settings_doc.page()
    assert not re.search(r"\| `?(/|~)|site-packages|/home/|/root/", settings_doc.page())


def test_every_service_listens_on_loopback_alone_by_default() -> None:
    services = [owner.model_fields for owner in settings_doc.SERVICES.values()]
    hosts = [fields["host"].default for fields in services if "port" in fields]
    assert len(hosts) >= 3
    assert set(hosts) == {"127.0.0.1", None}  # the parser has a socket and no address


def test_a_computed_default_needs_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="SAMPLE_MADE has a computed default"):
        settings_doc.default("SAMPLE_MADE", FIELDS["SAMPLE_MADE"])
    monkeypatch.setitem(settings_doc.COMPUTED, "SAMPLE_MADE", "what is at hand")
    assert settings_doc.default("SAMPLE_MADE", FIELDS["SAMPLE_MADE"]) == "what is at hand"


@pytest.mark.parametrize(
    ("name", "kind", "default"),
    [
        ("SAMPLE_SHARE", "number, above 0, below 1", "`0.5`"),
        ("SAMPLE_BODY_BYTES", "whole number, at least 1", "`3145728` (3 MiB)"),
        ("SAMPLE_KEY_FILE", "path", "none"),
        ("SAMPLE_MUST", "whole number, at most 7", "none, it must be set"),
    ],
)
def test_types_bounds_and_defaults_are_told_in_words(name: str, kind: str, default: str) -> None:
    assert settings_doc.kind(FIELDS[name]) == kind
    assert settings_doc.default(name, FIELDS[name]) == default


def test_check_fails_on_a_page_that_differs_or_is_missing_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings_doc, "PAGE", tmp_path / "settings.md")
    for old in (None, "# Settings\n"):
        if old is not None:
            settings_doc.PAGE.write_text(old)
        with pytest.raises(typer.Exit) as ended:
            settings_doc.main(check=True)
        assert ended.value.exit_code == 1
        assert "out of date" in capsys.readouterr().err
    assert settings_doc.PAGE.read_text() == "# Settings\n"
    settings_doc.main()
    settings_doc.main(check=True)
