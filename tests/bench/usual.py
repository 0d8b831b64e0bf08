"""The way most people serve such a model: FastAPI, a DataFrame per request, the scikit-learn pipeline from a pickle.

Started by the bench as `uvicorn tests.bench.usual:app`; the pickle is its own, written by the bench a moment before.
"""

import os
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pandas as pd
from fastapi import FastAPI
from google.cloud import storage
from pydantic import BaseModel

PICKLE = "usual/pipeline.pickle"
MAE = 10.6


class Row(BaseModel):
    """The sample's fields."""

    gender: str
    race_ethnicity: str
    parental_level_of_education: str
    lunch: str
    test_preparation_course: str


class Rows(BaseModel):
    """A batch."""

    instances: list[Row]


held: dict[str, Any] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Fetch the pipeline."""
    blob = storage.Client().bucket(os.environ["BUCKET"]).blob(PICKLE)
    held["pipeline"] = pickle.loads(blob.download_as_bytes())  # noqa: S301 - what the usual way does
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
def predict(row: Row) -> dict[str, Any]:
    """One row."""
    return answers([row])[0]


@app.post("/predict_batch")
def predict_batch(rows: Rows) -> dict[str, Any]:
    """Many rows."""
    return {"predictions": answers(rows.instances)}


def answers(rows: list[Row]) -> list[dict[str, Any]]:
    """A prediction with a range for each row."""
    frame = pd.DataFrame([row.model_dump() for row in rows])
    found = held["pipeline"].predict(frame)
    return [
        {"prediction": float(value), "interval": {"low": float(value) - MAE, "high": float(value) + MAE}}
        for value in found
    ]
