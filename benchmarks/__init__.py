"""jobqueue and its rivals, measured by one harness: ``python -m benchmarks``."""
