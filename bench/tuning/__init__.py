"""Tune every optimizer with the same number of trials, on images that are held out.

A trial is one run of one setting with one tuning seed. Trials are a sweep of their own, on the
dataset ``NAME/validation`` (:mod:`bench.datasets.validation`): it does not contain the test images,
so that nothing in the selection can depend on them. The chosen settings are another sweep, on the
whole training set and with the evaluation seeds. Both are stored, resumed and verified like every
sweep.
"""
