"""A share of the answers, the same ones every time."""

import pytest

from bulkhead.sampling import sampled

IDS = [f"chatcmpl-{n}" for n in range(4000)]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_share_is_drawn(share: float) -> None:
    drawn = sum(sampled(one, share, "quality") for one in IDS)
    assert drawn == pytest.approx(share * len(IDS), abs=120 if 0 < share < 1 else 0)


def test_two_purposes_draw_independently() -> None:
    both = sum(sampled(one, 0.1, "quality") and sampled(one, 0.1, "judge") for one in IDS)
    assert 15 <= both <= 70  # 40 expected


def test_an_answer_is_drawn_alike_every_time() -> None:
    assert all(sampled(one, 0.3, "judge") == sampled(one, 0.3, "judge") for one in IDS)
