"""Import torchvision.datasets with any build of torch.

The Linux wheels of torchvision on PyPI are compiled for CUDA. With a CPU-only torch their compiled
operators do not load, and ``import torchvision`` fails with "operator torchvision::nms does not
exist" when it registers a fake implementation of that operator. The datasets do not use operators.
Declaring the two schemas that the import refers to, and importing again, is sufficient.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType


def import_datasets() -> ModuleType:
    """Return the module :mod:`torchvision.datasets`."""
    try:
        return import_module("torchvision.datasets")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _declare_missing_operators()
        return import_module("torchvision.datasets")


def _declare_missing_operators() -> None:
    import torch

    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for operator in ("nms", "qnms"):
        torch.library.define(
            f"torchvision::{operator}",
            "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        )
