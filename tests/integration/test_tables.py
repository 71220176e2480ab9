"""Rows of a long table are found by what they are called, wherever the text was cut."""

from rig import Api

ROWS = 300


def test_every_row_of_a_long_table_is_found_among_the_two_shown(api: Api) -> None:
    rows = "".join(f"| srv-{n:03} | rack {n % 7} | Owner {n * 37 % 91} |\n" for n in range(ROWS))
    text = f"# Servers\n\n| server | place | on-call owner |\n|---|---|---|\n{rows}"
    reply = api.post("/v1/documents", files=[("files", ("servers.md", text.encode()))])
    assert api.finished(reply.json()["id"])["counts"]["chunks"] > 10
    for n in range(0, ROWS, 7):
        body = {"query": f"Who is the on-call owner of srv-{n:03}?", "top_k": 2}
        found = api.post("/v1/search", json=body).json()["results"]
        row = next(hit for hit in found if f"| srv-{n:03} |" in hit["text"])
        assert api.text(row["document_id"])[row["start"] : row["end"]] == row["text"]
        assert "on-call owner" in row["table_header"] + row["text"]
