"""Simulation of sweeps with known true effects, to validate the statistics of the analysis.

Error rates, coverage and power are counted over many simulated sweeps of eight treatments and
twenty seeds, which are analysed by the code of :mod:`bench.analysis`, and over sequential sweeps,
mostly of four treatments. Each rate that the analysis guarantees is compared with its nominal
value, and may miss it by two Monte Carlo standard errors. Rates whose assumptions do not hold are
reported without a requirement.

References
----------
.. [1] Morris, T. P., White, I. R. & Crowther, M. J. (2019). Using simulation studies to evaluate
   statistical methods. Statistics in Medicine 38, 2074-2102. (Monte Carlo standard errors.)
.. [2] Romano, J. P. (1990). On the behavior of randomization tests without a group invariance
   assumption. JASA 85, 686-692. (Why the sign-flip test may exceed its level where differences are
   skewed.)
"""

from bench.tools.simulation.run import BLOCK, Row, Validation, make_studies, validate
from bench.tools.simulation.study import STANDARD_ERRORS, Measure, Requirement, Study

__all__ = [
    "BLOCK",
    "STANDARD_ERRORS",
    "Measure",
    "Requirement",
    "Row",
    "Study",
    "Validation",
    "make_studies",
    "validate",
]
