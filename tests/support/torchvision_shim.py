"""Lets torchvision import beside a torch of another build, for tests only: two operators that nothing here calls.

torchvision's compiled part does not load beside CPU torch where it was built for CUDA, and its Python then stops at
"operator torchvision::nms does not exist". open_clip needs its transforms, and transformers imports it if it is there.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

_kept: list[Any] = []  # an operator lives as long as the library object that defined it


def apply() -> None:
    """Does nothing where torchvision is absent or fits."""
    found = importlib.util.find_spec("torchvision")
    if _kept or found is None or found.origin is None:
        return
    import torch

    compiled = next(Path(found.origin).parent.glob("_C*.so"), None)
    try:
        if compiled is not None:
            torch.ops.load_library(str(compiled))
    except OSError:
        pass  # built for another torch: this is what the shim is for
    if hasattr(torch.ops.torchvision, "nms"):
        return
    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(library)
