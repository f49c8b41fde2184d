"""What tests compare of a trained run."""

from __future__ import annotations

from bench.training.stack import TrainedRun


def timeless(run: TrainedRun) -> list[object]:
    """Everything about a run but its timings, comparable bit for bit."""
    return [
        (run.seed, run.initial_weights_sha256, run.data_order_sha256, run.diverged_at),
        *((e.iteration, e.correct.tobytes(), e.test_loss, e.train_loss) for e in run.evaluations),
    ]
