"""Catalogue of optimizers; it does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.spec.expressions import Literal


@dataclass(frozen=True, kw_only=True)
class CatalogueEntry:
    """One named optimizer.

    Attributes
    ----------
    algorithm
        Name of the class in :mod:`torch.optim`.
    update_rule
        Formula of the step: w weights, g gradient, squares and divisions elementwise.
    paper
        Publication of the method.
    preset
        Arguments that differ from the defaults of the class.
    elementwise
        Whether the step of an element does not depend on other elements. All runs of a stack can
        then be updated as one tensor.
    needs_closure
        Whether a step evaluates loss and gradient itself, once or several times.
    matrices_only
        Whether the class accepts only matrices; AdamW updates all other parameters.
    """

    algorithm: str
    update_rule: str
    paper: str
    preset: Mapping[str, Literal] = field(default_factory=dict)
    elementwise: bool = True
    needs_closure: bool = False
    matrices_only: bool = False


#: All named optimizers; the eight of the tutorial have its settings.
CATALOGUE: Mapping[str, CatalogueEntry] = {
    "sgd": CatalogueEntry(
        algorithm="SGD",
        preset={"lr": 0.1},
        update_rule="w -= lr g",
        paper="Robbins & Monro 1951, Annals of Mathematical Statistics 22",
    ),
    "momentum": CatalogueEntry(
        algorithm="SGD",
        preset={"lr": 0.1, "momentum": 0.9},
        update_rule="v = momentum v + g;  w -= lr v",
        paper="Polyak 1964, USSR Computational Mathematics and Mathematical Physics 4",
    ),
    "nesterov": CatalogueEntry(
        algorithm="SGD",
        preset={"lr": 0.1, "momentum": 0.9, "nesterov": True},
        update_rule="v = momentum v + g;  w -= lr (g + momentum v)",
        paper="Nesterov 1983, Soviet Mathematics Doklady 27; Sutskever et al. 2013, ICML",
    ),
    "adam": CatalogueEntry(
        algorithm="Adam",
        update_rule="m, v = running means of g and g^2, bias-corrected;  "
        "w -= lr m / (sqrt(v) + eps)",
        paper="Kingma & Ba 2015, ICLR",
    ),
    "adagrad": CatalogueEntry(
        algorithm="Adagrad",
        update_rule="s += g^2;  w -= lr g / (sqrt(s) + eps)",
        paper="Duchi, Hazan & Singer 2011, JMLR 12",
    ),
    "adadelta": CatalogueEntry(
        algorithm="Adadelta",
        update_rule="d = g sqrt(u + eps) / sqrt(v + eps);  u, v = running means of d^2 and g^2;  "
        "w -= lr d",
        paper="Zeiler 2012, arXiv:1212.5701",
    ),
    "adamax": CatalogueEntry(
        algorithm="Adamax",
        update_rule="m = running mean of g;  u = max(beta2 u, |g| + eps);  "
        "w -= lr m / ((1 - beta1^t) u)",
        paper="Kingma & Ba 2015, ICLR, section 7.1",
    ),
    "rmsprop": CatalogueEntry(
        algorithm="RMSprop",
        update_rule="v = running mean of g^2;  w -= lr g / (sqrt(v) + eps)",
        paper="Tieleman & Hinton 2012, Coursera lecture 6.5",
    ),
    "adamw": CatalogueEntry(
        algorithm="AdamW",
        update_rule="m, v = running means of g and g^2, bias-corrected;  "
        "w -= lr (m / (sqrt(v) + eps) + weight_decay w)",
        paper="Loshchilov & Hutter 2019, ICLR",
    ),
    "nadam": CatalogueEntry(
        algorithm="NAdam",
        update_rule="m, v = running means of g and g^2, v bias-corrected;  "
        "b_t = beta1 (1 - 0.96^(t momentum_decay) / 2);  "
        "w -= lr (b_{t+1} m / (1 - b_1 ... b_{t+1}) + (1 - b_t) g / (1 - b_1 ... b_t)) "
        "/ (sqrt(v) + eps)",
        paper="Dozat 2016, ICLR workshop",
    ),
    "radam": CatalogueEntry(
        algorithm="RAdam",
        update_rule="m, v = running means of g and g^2, m bias-corrected;  "
        "R = 2 / (1 - beta2) - 1;  R_t = R - 2 t beta2^t / (1 - beta2^t);  "
        "r = sqrt((R_t - 4) (R_t - 2) R / ((R - 4) (R - 2) R_t));  "
        "w -= lr m r sqrt(1 - beta2^t) / (sqrt(v) + eps) where R_t > 5, else w -= lr m",
        paper="Liu et al. 2020, ICLR",
    ),
    "asgd": CatalogueEntry(
        algorithm="ASGD",
        update_rule="w -= lr (g + lambd w) / (1 + lambd lr (t - 1))^alpha;  "
        "the average of w, kept from update t0 on, is not what is evaluated",
        paper="Polyak & Juditsky 1992, SIAM Journal on Control and Optimization 30",
    ),
    "rprop": CatalogueEntry(
        algorithm="Rprop",
        update_rule="s = lr at first, then s etas[1] where g keeps its sign, s etas[0] and g = 0 "
        "where it changes, within step_sizes;  w -= s sign(g)",
        paper="Riedmiller & Braun 1993, IEEE ICNN; Igel & Huesken 2000, NC (iRprop-)",
    ),
    "adafactor": CatalogueEntry(
        algorithm="Adafactor",
        update_rule="R, C = running means of the row and column means of g^2, the newest weighing "
        "t^beta2_decay;  v = R C / mean(R), of a vector the running mean of g^2;  "
        "u = g / sqrt(v);  w -= lr weight_decay w;  "
        "w -= max(eps[1], rms(w)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / d)",
        paper="Shazeer & Stern 2018, ICML",
        elementwise=False,
    ),
    "muon": CatalogueEntry(
        algorithm="Muon",
        update_rule="matrices: m = running mean of g;  u = momentum m + (1 - momentum) g, "
        "made near-orthogonal by ns_steps Newton-Schulz iterations;  "
        "w -= lr (sqrt(max(1, rows / columns)) u + weight_decay w);  "
        "every other parameter: adamw with the same lr and weight_decay",
        paper="Jordan et al. 2024, kellerjordan.github.io/posts/muon",
        elementwise=False,
        matrices_only=True,
    ),
    "lbfgs": CatalogueEntry(
        algorithm="LBFGS",
        update_rule="up to max_iter times on one batch: w -= lr H g, H = estimate of the inverse "
        "Hessian from the last history_size changes of w and g",
        paper="Liu & Nocedal 1989, Mathematical Programming 45",
        elementwise=False,
        needs_closure=True,
    ),
}

#: Optimizers that are compared by default: the eight of the tutorial, in its order.
DEFAULT_OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adam"),
    *("adagrad", "adadelta", "adamax", "rmsprop"),
)
