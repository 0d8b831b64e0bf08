"""Names for the arrays that most calculations take and give, by their shape and what they hold."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
"""One number a row, or a class, or a feature: one dimension."""

Matrix = NDArray[np.float64]
"""Numbers of rows by columns: two dimensions."""

Mask = NDArray[np.bool_]
"""Which of some rows are meant: one dimension, as long as there are rows."""

RowIndices = NDArray[np.intp]
"""The positions of some rows, counted from 0: one dimension."""

Counts = NDArray[np.float64]
"""How many rows each cell has, or how many each cell of each block has: whole numbers unless rows are shared out."""
