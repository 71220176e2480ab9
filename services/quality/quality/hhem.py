"""Vectara's HHEM 2.1 Open: a T5 encoder that says how far a hypothesis follows from a premise.

The weights' own Python code is neither needed nor run: it is T5's token classifier, whose first
token carries the verdict. The folder holds what Vectara publishes, and in its folder `foundation`
the `config.json`, `tokenizer.json` and `tokenizer_config.json` of google/flan-t5-base.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, T5Config, T5ForTokenClassification

from quality.detector import too_long
from quality.evaluation import Sample

_PREFIX = "t5."
_EMBEDDINGS = "transformer.encoder.embed_tokens.weight"  # the same tensor as `shared`
_CONSISTENT = 1


class HHEM:
    """HHEM 2.1 Open, from a folder."""

    def __init__(self, folder: Path, most_tokens: int) -> None:
        """Raises `OSError` or `ValueError` when the folder does not hold the model."""
        foundation = folder / "foundation"
        config = T5Config.from_pretrained(foundation, local_files_only=True, num_labels=2)
        model = T5ForTokenClassification(config)
        stored = load_file(folder / "model.safetensors")
        weights = {name.removeprefix(_PREFIX): tensor for name, tensor in stored.items()}
        try:
            found = model.load_state_dict(weights, strict=False)
        except RuntimeError as error:  # a tensor of another shape
            raise ValueError("model.safetensors does not fit foundation/config.json") from error
        if found.unexpected_keys or set(found.missing_keys) - {_EMBEDDINGS}:
            raise ValueError("model.safetensors does not hold HHEM 2.1")
        model.tie_weights()
        self._model = model
        torch.nn.Module.eval(model)  # T5's own is not typed
        self._tokenizer = AutoTokenizer.from_pretrained(foundation, local_files_only=True)
        told = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self._prompt = str(told.get("prompt", ""))
        if not ("{text1}" in self._prompt and "{text2}" in self._prompt):
            raise ValueError("config.json has no prompt with {text1} and {text2}")
        self._most_tokens = most_tokens

    def score(self, sample: Sample) -> float:
        """The probability that the answer is consistent with all its sources together."""
        before, rest = self._prompt.split("{text1}")
        between, after = rest.split("{text2}")
        text = f"{before}{chr(10).join(sample.sources)}{between}{sample.answer}{after}"
        encoded = self._tokenizer(text, return_tensors="pt", truncation=False)
        too_long(encoded["input_ids"].shape[1], self._most_tokens)
        with torch.inference_mode():
            logits = self._model(
                input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]
            ).logits
        return float(torch.softmax(logits[0, 0], dim=-1)[_CONSISTENT])
