"""Import torchvision.datasets next to any torch build.

PyPI's Linux wheels of torchvision are compiled against CUDA. Next to a CPU-only torch their
compiled operators do not load, and ``import torchvision`` stops with "operator torchvision::nms
does not exist" while it registers a fake for that operator. The datasets need no operators: it is
enough to declare the two schemas that the import refers to, and to import again.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType


def import_datasets() -> ModuleType:
    """The module :mod:`torchvision.datasets`."""
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
