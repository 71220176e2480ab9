"""Texts as a model reads them: tokenized once, which the queue sorts by and the model computes.

sentence-transformers tokenizes as it encodes, by transformers' Python code: on a GPU that takes ten
times as long as the model (scripts/bench/embedding.py, docs/performance.md).
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Kind = Literal["query", "document"]
Ids = npt.NDArray[np.int64]

_PROMPTS: dict[Kind, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}
"""What models call each kind's prompt, as `encode_query` and `encode_document` look it up."""

_SAMPLES = [["A text.", "  Another, \r\n longer one\u2026 ", ""], ["A text.", "many words " * 5000]]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """A text and what a model reads of it."""

    text: str
    ids: Ids
    """Of shape (tokens,), the kind's prompt and special tokens included, cut to the model."""
    count: int
    """Tokens before the cut."""


class Reader:
    """Tokenizes texts of one kind for a model. May be used by several threads at once."""

    def __init__(self, model: "SentenceTransformer", kind: Kind) -> None:
        """The model's first module must have a tokenizer of the `tokenizers` library."""
        names = (*(name for name in _PROMPTS[kind] if name in model.prompts), None)
        prompt = model.prompts.get(names[0] or model.default_prompt_name or "") or ""
        self._prompt = prompt
        self._counting = counting(model.tokenizer.backend_tokenizer)
        self._cutting = counting(model.tokenizer.backend_tokenizer)
        if model.max_seq_length is not None:
            self._cutting.enable_truncation(model.max_seq_length)
        self._longest = model.max_seq_length
        self.pad: int = model.tokenizer.pad_token_id or 0
        """The id of the token that pads."""
        self._pads_left = model.tokenizer.padding_side == "left"
        theirs = [model.preprocess(texts, prompt=prompt or None, task=kind) for texts in _SAMPLES]
        self._constant = {
            name: value for name, value in theirs[0].items() if not hasattr(value, "shape")
        }
        self._typed = "token_type_ids" in theirs[0]
        self.complete = all(
            _alike(self.features(self.tokenize(texts)), features)
            for texts, features in zip(_SAMPLES, theirs, strict=True)
        )
        """Whether `features` gives all that the model's own preprocessing does."""
        if not self.complete:
            _logger.warning("this model tokenizes by its own code, which is slower on a GPU")

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """What the model reads of each text."""
        prompted = [self._prompt + text for text in texts]
        encodings = self._counting.encode_batch_fast(prompted)
        counts = [len(encoding) for encoding in encodings]
        if self._longest is not None:
            for place, count in enumerate(counts):
                if count > self._longest:  # only these: cutting knows the special tokens' places
                    encodings[place] = self._cutting.encode(prompted[place])
        return [
            Tokens(text, np.array(encoding.ids, dtype=np.int64), count)
            for text, encoding, count in zip(texts, encodings, counts, strict=True)
        ]

    def features(self, texts: Sequence[Tokens]) -> dict[str, Any]:
        """What the model's `forward` takes: tensors of shape (texts, longest), and constants."""
        import torch

        shape = (len(texts), max((len(text.ids) for text in texts), default=0))
        ids, mask = np.full(shape, self.pad, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        for row, text in enumerate(texts):
            size = len(text.ids)
            place = slice(shape[1] - size, None) if self._pads_left else slice(size)
            ids[row, place], mask[row, place] = text.ids, 1
        tensors = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if self._typed:
            tensors["token_type_ids"] = torch.zeros(shape, dtype=torch.int64)
        return {**tensors, **self._constant}

    def row(self, texts: Sequence[Tokens], first: int) -> dict[str, Any]:
        """What `forward` takes where the model takes rows: tensors of shape (1, all tokens).

        A text's tokens have the positions `first`, `first` + 1 and so on.
        """
        import torch

        ids = torch.from_numpy(np.concatenate([text.ids for text in texts]))[None]
        features = {"input_ids": ids, **self._constant}
        if self._typed:
            features["token_type_ids"] = torch.zeros_like(ids)
        if len(texts) > 1:
            ends = np.cumsum([0, *(len(text.ids) for text in texts)])
            places = np.concatenate([np.arange(len(text.ids)) for text in texts]) + first
            features["position_ids"] = torch.from_numpy(places)[None]
            features["cu_seq_lens_q"] = torch.from_numpy(ends)
        return features


def counting(tokenizer: Any) -> Any:
    """A copy that counts: as files have it, MiniLM's cuts and pads every text to 128 tokens."""
    copy = type(tokenizer).from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def _alike(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return ours.keys() == theirs.keys() and all(
        value.equal(theirs[name]) if hasattr(value, "shape") else value == theirs[name]
        for name, value in ours.items()
    )
