"""Which model the embedded mode brings and serves."""

import sys
from pathlib import Path

import pytest

from embedded import models
from embedded.errors import StackError
from embedded.parts import MODEL, ROOT, State, parts


@pytest.fixture
def fetcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a fetcher that only writes down what it is told does so."""
    told = tmp_path / "told"
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\nenv | grep ^FETCHER_ | sort > {told}\nexit $FETCHER_FAILS\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return told


def llm(**environment: str) -> dict[str, str]:
    (part,) = [one for one in parts(State(Path("x")), environment) if one.name == "llm"]
    return dict(part.environment)


def test_without_a_word_it_is_the_default_in_a_folder_that_no_clean_up_removes(
    fetcher: Path,
) -> None:
    models.bring({"FETCHER_FAILS": "0"})

    assert f"FETCHER_LLM_MODEL={MODEL}\n" in fetcher.read_text()
    assert f"FETCHER_FOLDER={ROOT / '.models'}\n" in fetcher.read_text()
    served = llm()
    assert served["LLM_MODEL_PATH"] == str(ROOT / ".models/llm")
    assert served["LLM_ALIAS"] == MODEL


def test_one_setting_chooses_another(fetcher: Path) -> None:
    chosen = {"LLM_MODEL": "qwen2.5-coder-1.5b-instruct", "LLM_FILE": "/some/file"}
    models.bring(chosen | {"FETCHER_FAILS": "0", "BULKHEAD_MODELS": "elsewhere"})

    told = fetcher.read_text()
    assert "FETCHER_LLM_MODEL=qwen2.5-coder-1.5b-instruct\n" in told
    assert "FETCHER_LLM_FILE=/some/file\n" in told
    assert f"FETCHER_FOLDER={ROOT / 'elsewhere'}\n" in told
    assert llm(**chosen)["LLM_ALIAS"] == "qwen2.5-coder-1.5b-instruct"


def test_a_model_of_one_s_own_is_served_under_its_own_name_and_nothing_is_brought(
    fetcher: Path,
) -> None:
    own = {"LLM_MODEL_PATH": "/own/model.gguf"}
    models.bring(own)

    assert not fetcher.exists()
    assert llm(**own)["LLM_MODEL_PATH"] == "/own/model.gguf"
    assert "LLM_ALIAS" not in llm(**own)


@pytest.mark.usefixtures("fetcher")
def test_a_model_that_cannot_be_brought_ends_the_start() -> None:
    with pytest.raises(StackError, match="the model could not be brought"):
        models.bring({"FETCHER_FAILS": "1"})
