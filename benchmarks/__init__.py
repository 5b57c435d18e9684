"""Speed of the whole and of its parts, each measured beside a floor in the same run; `python -m benchmarks`."""
