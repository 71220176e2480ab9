"""Settings: what the environment says that is none."""

import pytest

from bulkhead.settings import without_effect
from parser.settings import ParserSettings
from retriever.settings import RetrieverSettings


def test_variables_that_have_no_effect_are_told_with_what_became_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "RETRIEVER_PARSER_PROCESSES",
        "RETRIEVER_TOPK",
        "PARSER_TIMEOUT",
        "parser_timeout",
    ):
        monkeypatch.setenv(name, "3")
    assert list(without_effect(RetrieverSettings())) == [
        "RETRIEVER_PARSER_PROCESSES has no effect: it is PARSER_PROCESSES now",
        "RETRIEVER_TOPK has no effect: no such setting",
    ]
    assert list(without_effect(ParserSettings())) == []


def test_every_setting_that_moved_is_told_by_a_name_that_there_is() -> None:
    known = {f"PARSER_{name}".upper() for name in ParserSettings.model_fields}
    known |= {f"RETRIEVER_{name}".upper() for name in RetrieverSettings.model_fields}
    assert set(RetrieverSettings.moved.values()) <= known
    own = {f"RETRIEVER_{name}".upper() for name in RetrieverSettings.model_fields}
    assert not own & RetrieverSettings.moved.keys()
