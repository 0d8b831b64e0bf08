"""The two-stage search over the zoo: spaces, folds, schedule, fits and the processes that they run in."""
