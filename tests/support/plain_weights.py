"""The quick model as plain numbers, for vLLM: what a hub has of a model beside its GGUF."""

from pathlib import Path
from tempfile import TemporaryDirectory

from quick_model import quick_model


def plain_weights() -> dict[str, bytes]:
    """The files of a repository: safetensors in bfloat16, settings, tokenizer, chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    names = {
        "pretrained_model_name_or_path": str(quick_model().parent),
        "gguf_file": quick_model().name,
    }
    model = AutoModelForCausalLM.from_pretrained(**names, dtype=torch.bfloat16)
    # The weights are plain numbers now; with these marks left, they would not be saved as such.
    for mark, plain in {"is_quantized": False, "hf_quantizer": None}.items():
        setattr(model, mark, plain)
    del model.config.quantization_config
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(**names).save_pretrained(folder)
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}
