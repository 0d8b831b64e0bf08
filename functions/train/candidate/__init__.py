"""From searched algorithms to the files of a candidate: selection, evidence, report, manifest."""
