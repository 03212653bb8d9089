"""Names of the tags that a training run has in MLflow, shared by the code that writes and the code that reads them.

The tags of the gate are in `app.models.registry`, because the service reads them too; those of a search are in
`app.training.search.trial_runs`.
"""

from typing import Final

from app import names

COMMIT: Final = "mlflow.source.git.commit"
"""Commit of the code. It ends in `-dirty` if files of the working tree differed from the commit."""

USER: Final = "mlflow.user"
"""User that submitted the job."""

STACK: Final = "stack"
"""Pulumi stack that the job ran on."""

RETRAIN_JUDGEMENT: Final = names.RETRAIN_JUDGEMENT_TAG
"""Run of the judgement of drift that began the training."""

ARGUMENTS: Final = "train.arguments"
"""Options of the command line, quoted for a shell."""

PACKAGE_PREFIX: Final = "package."
"""Prefix of the tags that hold package versions: `package.numpy`."""

DATA_SOURCE: Final = "data.source"
"""File, URL or library function that the rows came from."""

DATA_FINGERPRINT: Final = names.DATA_FINGERPRINT_TAG
"""SHA-256 over column names, values and labels, in their order."""

DATA_CHANGED_SINCE: Final = "data.changed_since"
"""Id of the previous run on data of the same name, if its data had another fingerprint."""

DATA_REVISION: Final = "data.revision"
"""Git commit of a file from DVC."""

DATA_MD5: Final = "data.md5"
"""DVC's hash of a file from DVC."""

DATA_LOG_SINCE: Final = "data.log_since"
"""Beginning of the period of `--data log:PERIOD` or `--add-log PERIOD`, in UTC."""

DATA_ADDED_LOG: Final = "data.added_log"
"""Number of rows and period of `--add-log`, if the log had labelled rows."""

DATA_FILE_HASH: Final = "data.file_sha256"
"""SHA-256 of the user's Python file whose function returned the data."""

DATA_LEAKS: Final = "data.leaks"
"""Feature columns that give the target away."""

MODEL_FINGERPRINT: Final = "model.fingerprint"
"""SHA-256 over everything that a fit computes: equal only for models that are equal bit for bit."""

MODEL_FILE: Final = "model.file"
"""The user's file and function that define the model: `model.py:build`."""

MODEL_FILE_HASH: Final = "model.file_sha256"
"""SHA-256 of the user's file."""

MODEL_PARAMETERS: Final = "model.parameters"
"""Every parameter of the fitted model with its value, as JSON."""

SEARCH_CONDITIONS: Final = "search.terms"
"""The conditions of a search as JSON, so that only a search with the same conditions resumes it."""

MODEL_SOURCE: Final = "model.source"
"""File or URI of a model that was fitted elsewhere."""
