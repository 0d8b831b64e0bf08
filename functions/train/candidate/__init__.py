"""Makes the files of a candidate out of searched algorithms: selection, enclosures, report, manifest."""
