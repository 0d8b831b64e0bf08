"""The local Cloud Storage: an engine over one SQLite file, and its routes. Started by `gcs.py`."""
