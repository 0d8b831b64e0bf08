"""`make evidently`: labelled rows in Evidently's own report, for whoever wants it beside the watch's page."""
