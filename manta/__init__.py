"""What a notebook imports from manta.

Example:
    import manta
    uri = manta.log_model(model, X_test.head())

    manta register models:/m-... --data test.csv --target sold
"""

from app.training.existing_model import log_model

__all__ = ["log_model"]
