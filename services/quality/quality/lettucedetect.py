"""LettuceDetect: a token classifier that marks the words of an answer that no passage supports.

Read with transformers alone: the package `lettucedetect` brings clients of model services along.
"""

from pathlib import Path

import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

from quality.detector import too_long
from quality.evaluation import Sample

# Word for word what the published models were trained on (LettuceDetect, MIT licence).
_PROMPT = """\
Briefly answer the following question:
{question}
Bear in mind that your response should be strictly based on the following {count} passages:
{passages}
In case the passages do not contain the necessary information to answer the question, please \
reply with: "Unable to answer based on given passages."
output:"""
_UNSUPPORTED = 1


class LettuceDetect:
    """A published LettuceDetect encoder, from a folder."""

    def __init__(self, folder: Path, most_tokens: int) -> None:
        """Raises `OSError` or `ValueError` when the folder does not hold the model."""
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModelForTokenClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True
        ).eval()
        if self._model.config.num_labels != 2:
            raise ValueError("the model does not tell supported from unsupported tokens")
        self._most_tokens = min(most_tokens, self._model.config.max_position_embeddings)

    def score(self, sample: Sample) -> float:
        """One less the probability that the answer's worst token is unsupported."""
        encoded = self._tokenizer(
            prompt(sample), sample.answer, return_tensors="pt", truncation=False
        )
        too_long(encoded["input_ids"].shape[1], self._most_tokens)
        of_answer = torch.tensor([part == 1 for part in encoded.sequence_ids(0)])
        with torch.inference_mode():
            logits = self._model(**encoded).logits[0]
        wrong = torch.softmax(logits, dim=-1)[of_answer, _UNSUPPORTED]
        return float(1 - wrong.max())


def prompt(sample: Sample) -> str:
    """Question and passages as the models know them."""
    lines = [f"passage {n}: {source}" for n, source in enumerate(sample.sources, start=1)]
    passages = "\n".join(lines)
    return _PROMPT.format(question=sample.question, count=len(lines), passages=passages)
