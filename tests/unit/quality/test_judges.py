"""Several judges: the next one judges where one cannot be reached, and nowhere else."""

from typing import Any

import pytest

from quality.evaluation import Sample, Unscored, Verdict
from quality.judges import Judges
from quality.settings import QualitySettings

SAMPLE = Sample(response_id="c", question="q", answer="a", sources=["s"])


class One:
    """A judge that says what it is told to."""

    def __init__(self, said: Verdict | Unscored, trouble: str = "", willing: bool = True) -> None:
        self.said, self.trouble, self.willing = said, trouble, willing

    async def evaluate(self, _: Sample) -> Verdict:
        if isinstance(self.said, Unscored):
            raise self.said
        return self.said


def judges(*ones: Any) -> Judges:
    return Judges(ones)


async def test_the_next_judge_is_for_one_that_cannot_be_reached() -> None:
    yes, no = Verdict("supported", 0.9), Verdict("unsupported", 0.1)
    gone, refused = Unscored("model_unreachable"), Unscored("model_refused")
    assert await judges(One(yes), One(no)).evaluate(SAMPLE) == yes
    assert await judges(One(gone), One(no)).evaluate(SAMPLE) == no
    assert await judges(One(yes, willing=False), One(no)).evaluate(SAMPLE) == no
    for ones, reason in (
        ((One(refused), One(no)), "model_refused"),
        ((One(gone), One(gone)), "model_unreachable"),
        ((One(yes, willing=False),), "not_calibrated"),
    ):
        with pytest.raises(Unscored, match=reason):
            await judges(*ones).evaluate(SAMPLE)


def test_there_is_trouble_where_none_of_them_judges() -> None:
    verdict = Verdict("supported", 0.9)
    both = judges(One(verdict, "down", willing=False), One(verdict))
    assert (both.willing, both.trouble) == (True, "")
    neither = judges(One(verdict, "down", willing=False), One(verdict, "weak", willing=False))
    assert (neither.willing, neither.trouble) == (False, "down")


def test_a_list_of_servers_has_its_keys_in_it() -> None:
    told = [{"url": "http://a/v1", "api_key_file": "/a"}, {"url": "http://b/v1", "model": "m"}]
    servers = QualitySettings.model_validate({"llm_url": told}).model_servers()
    assert [(str(one.api_key_file), one.model) for one in servers] == [("/a", ""), ("None", "m")]
    with pytest.raises(ValueError, match="each has its own"):
        QualitySettings.model_validate({"llm_url": told, "llm_api_key_file": "/k"})
