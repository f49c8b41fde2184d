"""Training sets that are drawn anew for each seed, from the training images of a dataset.

Differences between optimizers then vary with the drawn training sets too, and their tests and
intervals cover other draws from these images [1]_. They do not cover new images of the population:
all sets come from the same images, and a subsample shows little of the variance of a set. All
optimizers train on the same set at the same seed.

References
----------
.. [1] Bouthillier, X. et al. (2021). Accounting for variance in machine learning benchmarks. MLSys.
"""

from __future__ import annotations

import re

from bench.errors import SpecError

#: All images; as many images drawn with replacement; a share of them drawn without.
WHOLE, BOOTSTRAP, SUBSAMPLE = "none", "bootstrap", "subsample"


def parse_resampling(text: str) -> str:
    """Return the canonical text of a way to draw training sets.

    >>> parse_resampling("subsample=0.90")
    'subsample=0.9'

    Raises
    ------
    SpecError
        If the text is not none, bootstrap, or subsample with a share between 0 and 1.
    """
    if text in (WHOLE, BOOTSTRAP):
        return text
    match = re.fullmatch(rf"{SUBSAMPLE}=(\d*\.?\d+)", text) if isinstance(text, str) else None
    if match is None or not 0 < float(match[1]) < 1:
        raise SpecError(
            f"resample-train must be {WHOLE}, {BOOTSTRAP} or {SUBSAMPLE}=SHARE with a share "
            f"between 0 and 1, such as {SUBSAMPLE}=0.9, got {text!r:.80}"
        )
    share = f"{float(match[1]):.6f}".rstrip("0")
    if not float(share):
        raise SpecError(f"the share of resample-train must be at least 0.000001, got {text!r:.80}")
    return f"{SUBSAMPLE}={share}"


def n_drawn(resampling: str, n_images: int) -> int:
    """Return the number of images in a drawn training set, at least 1.

    >>> n_drawn("subsample=0.9", 60_000), n_drawn("bootstrap", 60_000)
    (54000, 60000)
    """
    share = resampling.removeprefix(f"{SUBSAMPLE}=")
    return n_images if share == resampling else max(1, round(float(share) * n_images))
