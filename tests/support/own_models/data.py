"""Real data that Python packages ship, as a user's `data.py`."""

import pandas as pd
from palmerpenguins import load_penguins
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine


def penguins() -> pd.DataFrame:
    """344 penguins: text, whole numbers, and missing values in text and numbers."""
    return load_penguins()


def weighed_penguins() -> pd.DataFrame:
    """The penguins whose body mass is known."""
    return load_penguins().dropna(subset="body_mass_g")


def cells() -> pd.DataFrame:
    """569 cells with 30 measurements."""
    return load_breast_cancer(as_frame=True).frame


def wine() -> pd.DataFrame:
    """178 wines of three growers."""
    return load_wine(as_frame=True).frame


def diabetes() -> pd.DataFrame:
    """442 patients; the target is how far the disease has progressed."""
    return load_diabetes(as_frame=True, scaled=False).frame
