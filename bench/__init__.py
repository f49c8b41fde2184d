"""Compare PyTorch optimizers over many seeds: train, test, report.

The direction of the data::

    command line -> SweepSpec -> plan of RunSpecs -> runner -> train -> RunRecord -> store (parquet)
                                                                                          |
                                                        HTML, terminal <- report <- analysis
"""

__version__ = "0.1.0"
