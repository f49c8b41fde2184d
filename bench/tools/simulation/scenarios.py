"""List of all simulated scenarios."""

from __future__ import annotations

from typing import Any

from bench.tools.simulation.new_images import new_images_study
from bench.tools.simulation.pairs import EFFECTS, looks_study, power_study, skewed_pair_study
from bench.tools.simulation.study import Study
from bench.tools.simulation.sweeps import sweep_studies


def make_studies() -> tuple[Study[Any], ...]:
    """Return all scenarios in which the analysis is validated."""
    return (
        *sweep_studies(),
        skewed_pair_study(),
        new_images_study(),
        *(power_study(dz) for dz in EFFECTS),
        looks_study(),
    )
