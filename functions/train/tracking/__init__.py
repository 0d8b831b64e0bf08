"""Experiment tracking: what is recorded of a run, where, and how MLflow is told of runs, versions and verdicts."""
