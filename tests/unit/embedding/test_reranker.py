"""A cross-encoder with two tiny random layers, made on the spot, behind the real engine."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import CrossEncoder
from tiny import bert_config
from transformers import AutoTokenizer, BertForSequenceClassification

from embedding.backend import SentenceTransformerBackend
from embedding.engine import Engine
from embedding.settings import EmbeddingSettings, bundled_model

QUERY = "Which port does the retriever listen on?"
DOCUMENTS = ["word " * n + f"and {n} more" for n in range(0, 600, 40)]


def make(folder: Path, labels: int) -> str:
    tokenizer = AutoTokenizer.from_pretrained(bundled_model())
    config = bert_config(len(tokenizer))
    config.num_labels = labels
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make(tmp_path_factory.mktemp("reranker"), labels=1)


async def test_a_pair_s_relevance_does_not_depend_on_its_company(folder: str) -> None:
    backend = SentenceTransformerBackend(EmbeddingSettings(reranker=folder, dtype="float32"))
    assert backend.reranks
    engine = Engine(backend, batch_tokens=1024, queue_texts=100, cache_texts=0)
    await engine.start()
    scores = await engine.rerank(QUERY, DOCUMENTS)
    await engine.stop()
    model = CrossEncoder(folder, device="cpu")
    alone = [float(model.predict([(QUERY, document)])[0]) for document in DOCUMENTS]
    assert np.abs(np.array(scores) - alone).max() < 1e-5
    assert len(set(scores)) > 5


def test_a_pair_is_counted_as_the_model_reads_it(folder: str) -> None:
    backend = SentenceTransformerBackend(EmbeddingSettings(reranker=folder))
    assert backend.count_pairs([("a", "b c"), ("a", "word " * 999)]) == [6, 512]


def test_a_model_of_several_labels_is_no_reranker(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one relevance"):
        SentenceTransformerBackend(EmbeddingSettings(reranker=make(tmp_path, labels=3)))
