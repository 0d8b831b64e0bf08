"""TRAIN: from a table and its spec to a candidate in the bucket."""

CODE_VERSION = "0.1.0"
"""Part of a run's identity: the same data is trained again under a new code version. Raise it with the behaviour."""
