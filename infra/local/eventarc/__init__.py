"""The local Eventarc: from the outbox of the storage to the functions. Started by `eventarc.py`."""
