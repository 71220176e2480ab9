"""The encoder detectors, with small models of random weights made on the spot.

What is tested is everything but the published weights: files, input format, which token and which
class is read, limits. Whether the weights are any good is measured
(scripts/evaluation/evaluators.py).
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForTokenClassification,
)

from quality.detector import DetectorEvaluator
from quality.detectors import DetectorKind, load
from quality.evaluation import Sample, Unscored
from quality.hhem import HHEM
from quality.lettucedetect import LettuceDetect, prompt

WORDS = ["the", "port", "is", "8080", "8081", "soup", "Premise", "Hypothesis", ":", ".", "passage"]
PROMPT = "<pad> Premise: {text1} Hypothesis: {text2}"


def sample(answer: str, *sources: str) -> Sample:
    return Sample(response_id="r", question="port", answer=answer, sources=list(sources))


def save_tokenizer(folder: Path) -> None:
    specials = ["<pad>", "<unk>", "[CLS]", "[SEP]"]
    vocabulary = {word: n for n, word in enumerate(specials + WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="$A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    made: Any = PreTrainedTokenizerFast  # its constructor is not typed
    made(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)


@pytest.fixture
def hhem_folder(tmp_path: Path) -> Path:
    """A T5 of the published layout: weights under `t5.`, foundation beside them."""
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=32,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
    )
    config.num_labels = 2
    config.save_pretrained(tmp_path / "foundation")
    save_tokenizer(tmp_path / "foundation")
    model = T5ForTokenClassification(config)
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    weights = {f"t5.{name}": value.clone() for name, value in model.state_dict().items()}
    del weights["t5.transformer.encoder.embed_tokens.weight"]  # as published: tied to `shared`
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "HHEMv2", "prompt": PROMPT}))
    return tmp_path


@pytest.fixture
def lettuce_folder(tmp_path: Path) -> Path:
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=32,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=256,
    )
    config.num_labels = 2
    model = BertForTokenClassification(config)
    torch.nn.init.normal_(model.classifier.weight, std=0.5)
    model.save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    return tmp_path


def test_hhem_is_the_first_tokens_consistent_class(hhem_folder: Path) -> None:
    stored = load_file(hhem_folder / "model.safetensors")
    stored["t5.classifier.weight"] = torch.zeros_like(stored["t5.classifier.weight"])
    stored["t5.classifier.bias"] = torch.tensor([0.0, 2.0])
    save_file(stored, hhem_folder / "model.safetensors")
    score = HHEM(hhem_folder, 512).score(sample("the port is 8080", "the port is 8081"))
    assert score == pytest.approx(torch.sigmoid(torch.tensor(2.0)).item(), abs=1e-6)


def test_hhem_reads_the_answer_and_every_source(hhem_folder: Path) -> None:
    hhem = HHEM(hhem_folder, 512)
    base = hhem.score(sample("the port is 8080", "the port is 8080", "soup"))
    assert 0 < base < 1
    assert hhem.score(sample("the port is 8080", "the port is 8080", "soup")) == base
    for other in (
        sample("the port is 8081", "the port is 8080", "soup"),
        sample("the port is 8080", "the port is 8081", "soup"),
        sample("the port is 8080", "the port is 8080", "port"),
    ):
        assert hhem.score(other) != base


def test_hhem_takes_braces_in_a_text_for_text(hhem_folder: Path) -> None:
    hhem = HHEM(hhem_folder, 512)
    assert hhem.score(sample("{text1} {0}", "the {text2} port")) > 0


def test_lettucedetect_is_the_worst_token_of_the_answer_alone(lettuce_folder: Path) -> None:
    detector = LettuceDetect(lettuce_folder, 512)
    given = sample("the port is 8080", "soup")
    encoded = detector._tokenizer(prompt(given), given.answer, return_tensors="pt")
    with torch.inference_mode():
        wrong = torch.softmax(detector._model(**encoded).logits[0], dim=-1)[:, 1]
    answer = wrong[-5:-1]  # four words, then [SEP]
    assert detector.score(given) == pytest.approx(1 - answer.max().item())
    assert answer.max() < wrong.max() or answer.min() > wrong.min()


@pytest.mark.parametrize("kind", ["hhem", "lettucedetect"])
def test_a_text_that_is_too_long_is_unscored_and_never_cut(
    kind: DetectorKind, request: pytest.FixtureRequest
) -> None:
    folder = {"hhem": "hhem_folder", "lettucedetect": "lettuce_folder"}[kind]
    detector = load(kind, request.getfixturevalue(folder), 64, 1)
    with pytest.raises(Unscored, match="too_long"):
        detector.score(sample("the port", "port " * 70))


async def test_the_threshold_makes_the_label(hhem_folder: Path) -> None:
    detector = load("hhem", hhem_folder, 512, 1)
    given = sample("the port is 8080", "the port is 8080")
    score = detector.score(given)
    for threshold, label in ((score, "supported"), (score + 1e-4, "unsupported")):
        verdict = await DetectorEvaluator("hhem", detector, threshold).evaluate(given)
        assert (verdict.label, verdict.score) == (label, score)


BROKEN = {
    "no weights": lambda folder: (folder / "model.safetensors").unlink(),
    "no foundation": lambda folder: (folder / "foundation" / "config.json").unlink(),
    "no prompt": lambda folder: (folder / "config.json").write_text("{}"),
    "foreign weights": lambda folder: save_file(
        {"other.weight": torch.zeros(2)}, folder / "model.safetensors"
    ),
    "a tensor of another shape": lambda folder: save_file(
        {**load_file(folder / "model.safetensors"), "t5.classifier.bias": torch.zeros(3)},
        folder / "model.safetensors",
    ),
}


@pytest.mark.parametrize("spoil", BROKEN.values(), ids=BROKEN.keys())
def test_a_folder_that_holds_no_hhem_is_refused(hhem_folder: Path, spoil: Any) -> None:
    spoil(hhem_folder)
    with pytest.raises((OSError, ValueError)):
        load("hhem", hhem_folder, 512, 1)


def test_a_missing_folder_is_refused_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="there is no folder weights") as caught:
        load("lettucedetect", tmp_path / "weights", 512, 1)
    assert str(tmp_path) not in str(caught.value)
