"""What the sweeps over a collection say where they cannot run."""

import pytest
import typer
from serving import free_port

from evaluation.sweep_retrieval import service


def test_without_an_embedding_service_a_sweep_ends_with_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with (
        pytest.raises(typer.Exit) as ended,
        service(f"http://127.0.0.1:{free_port()}") as http,
    ):
        http.get("/v1/models")
    assert ended.value.exit_code == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "no embedding service at" in said and "make serve" in said
