import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def houses() -> pd.DataFrame:
    rooms = np.arange(20.0)
    return pd.DataFrame({"rooms": rooms, "area": rooms**2, "sold": ["yes", "no"] * 10})
