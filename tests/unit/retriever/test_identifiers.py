import pytest
from hypothesis import given
from hypothesis import strategies as st

from retriever.index.identifiers import Wanted, identifiers

FOUND = {
    "What changed in 3.7.2?": ["3.7.2"],
    "From v3.7.2 to V4.0.": ["3.7.2", "4.0"],
    "10.1.20.0, 10.1.0.20.": ["10.1.20.0", "10.1.0.20"],
    "10.1.20.0/24 and fe80::1": ["10.1.20.0/24", "fe80::1"],
    "HX-2041-B; hx\u20112041\u2011b": ["hx-2041-b", "hx-2041-b"],
    "error 0x80070005 (E404)": ["0x80070005", "e404"],
    "2026-11-28 or 28.11.2026 or 11/28/2026": ["2026-11-28", "28.11.2026", "11/28/2026"],
    "at 02:15, 4.5%": ["02:15", "4.5"],
    "/etc/hosts C:\\Windows\\a --scale ./run.sh": [
        "/etc/hosts",
        "c:\\windows\\a",
        "--scale",
        "./run.sh",
    ],
    "CVE-2031-4477, [3.7.2](x), `cap_drop`": ["cve-2031-4477", "3.7.2", "cap_drop"],
    "RETRIEVER_LLM_URL=http://llm:8000/v1": ["retriever_llm_url", "http://llm:8000/v1"],
    "postgresql.conf a@b.example std::vector": ["postgresql.conf", "a@b.example", "std::vector"],
    "版本3.7.2的更新": ["3.7.2"],
    "\uff13\uff0e\uff17\uff0e\uff12": ["3.7.2"],
    "3.7.2–3.7.5": ["3.7.2", "3.7.5"],
}
PROSE = (
    "the mid-1970s, 20th-century, a 5-year-old, in the 1990s, the 20th, 5kg, 3.5kg, 2016",
    "well-known and/or TCP/IP in the U.S., e.g. Mr. J. R. Smith's, i.e. --- ... ::: //",
    "a wing -dash body /slip flow",
    "Grüße, naïve façade, don't; 東京タワー",
    "",
)


@pytest.mark.parametrize(("text", "found"), FOUND.items())
def test_what_means_something_only_as_it_is_written_is_found(text: str, found: list[str]) -> None:
    assert identifiers(text) == found


@pytest.mark.parametrize("text", PROSE)
def test_prose_has_no_identifiers(text: str) -> None:
    assert identifiers(text) == []
    assert not Wanted(text)


@pytest.mark.parametrize(
    ("query", "text", "held"),
    [
        ("3.7.2", "Release 3.7.2. Fixes.", 1),
        ("3.7.2", "v3.7.2: fixes", 1),
        ("v3.7.2", "3.7.2", 1),
        ("3.7.2", "3.2.7, 13.7.2, 3.7.20, 1.3.7.2, 3.7.2-rc1, 3.7.2.1", 0),
        ("HX-2041-B", "the HX\u20112041\u2011B/2 and HX-2041-A", 1),
        ("HX-2041-B", "XHX-2041-B HX-2041-BB X-HX-2041-B", 0),
        ("10.1.20.0", "10.1.20.0/24 but 10.1.0.20", 1),
        ("/etc/hosts", "mounted at /etc/hosts:ro", 1),
        ("from 3.7.2 to 3.7.5", "3.7.2 and 3.7.5", 2),
        ("from 3.7.2 to 3.7.5", "3.7.5 and 3.7.5", 1),
        ("the harbour", "the harbour", 0),
    ],
)
def test_a_text_holds_an_identifier_whole_or_not_at_all(query: str, text: str, held: int) -> None:
    assert Wanted(query).held(text) == held


@given(st.text(max_size=200))
def test_any_text_holds_its_own_identifiers_by_themselves(text: str) -> None:
    for name in identifiers(text):
        assert Wanted(name).held(name) >= 1 or not Wanted(name)
