"""The detectors that there are, by name."""

from pathlib import Path
from typing import Literal

from quality.detector import Detector

DetectorKind = Literal["hhem", "lettucedetect"]


def load(kind: DetectorKind, folder: Path, most_tokens: int, threads: int) -> Detector:
    """The detector in `folder`. Raises `OSError` or `ValueError` where it is not a usable one.

    Nothing is fetched, and no code that lies beside the weights is run.
    """
    if not folder.is_dir():
        raise OSError(f"there is no folder {folder.name} with a detector's weights")
    import torch  # two seconds and 200 MB: only for who has a detector

    torch.set_num_threads(threads)
    if kind == "hhem":
        from quality.hhem import HHEM

        return HHEM(folder, most_tokens)
    from quality.lettucedetect import LettuceDetect

    return LettuceDetect(folder, most_tokens)
