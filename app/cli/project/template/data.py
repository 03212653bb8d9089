"""The data of this project. `manta train --data data.py:load` calls `load`; replace it by your own data."""

import pandas as pd
from sklearn.datasets import load_diabetes


def load() -> pd.DataFrame:
    """Return one row per patient: ten measurements, and how far the disease has progressed after a year."""
    frame = load_diabetes(as_frame=True, scaled=False).frame
    return frame.assign(sex=frame["sex"].map({1.0: "first", 2.0: "second"})).rename(columns={"target": "progression"})
