"""The metric, the app and the benchmark dataset, rendered from this repository and published."""
