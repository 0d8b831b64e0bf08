"""A run's score as a colleague would say it. Pure."""

from shared.documents import Manifest
from shared.metrics import significant


def in_words(manifest: Manifest) -> str:
    """One sentence: what is predicted, how much of it is explained, and how far off a prediction is."""
    model, held = manifest.model, manifest.model.holdout
    explained = f"explains {held.r2:.0%} of the differences in" if held.r2 > 0 else "is no better than the mean of"
    return (
        f"{model.algorithm} {explained} {manifest.target} (R² {held.r2:.4f}); its predictions for the "
        f"{manifest.dataset.holdout_rows:,} rows held out are off by {significant(held.mae)} on average, and "
        f"{manifest.interval.level:.0%} of new ones lie within {significant(manifest.interval.low_residual)} and "
        f"+{significant(manifest.interval.high_residual)}"
    )
