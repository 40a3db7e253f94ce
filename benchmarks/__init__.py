"""What is measured, against what: one module each, run by `python -m benchmarks [NAME] [OPTIONS]`."""
