"""Tables of similar cases: some of them in the default suite, all with ``scripts/check --all``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def some(cases: Iterable[Any], every: int) -> list[Any]:
    """Return the cases of `pytest.mark.parametrize`, all but every n-th of them marked long."""
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if place % every == 0 else pytest.mark.long,
        )
        for place, case in enumerate(cases)
    ]
