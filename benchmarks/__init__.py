"""entense beside its peers: ``python -m benchmarks``, or ``python -m benchmarks --quick``."""
