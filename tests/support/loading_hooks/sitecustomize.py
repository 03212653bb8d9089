"""Makes the processes that load models misbehave. Python imports this module at its start from `PYTHONPATH`.

The file that the environment variable `LOADING_HOOK` names holds what the next child does when it reads a model:
`crash`, `exit`, `hang` or `leave`; nothing if it is empty. The folder with the same name and `-cgroups` at its end
stands for `/sys/fs/cgroup`.
"""

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HANG_S = 600


def misbehave(hook: str) -> None:
    """Do what the hook says."""
    if hook == "crash":
        ctypes.string_at(0)
    if hook == "exit":
        os._exit(3)
    if hook in {"hang", "leave"}:
        if hook == "leave":
            subprocess.Popen(["sleep", str(HANG_S)])
        Path(os.environ["LOADING_HOOK"] + "-reached").write_text(str(os.getpid()))
        time.sleep(HANG_S)


if "app.serving.loading.fork_server" in sys.orig_argv:
    from app.models import artifact
    from app.serving.loading import limits

    limits.CGROUPS = Path(os.environ["LOADING_HOOK"] + "-cgroups")  # type: ignore[misc] # a constant for all but tests
    load_estimator = artifact.load_estimator

    def load_or_misbehave(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on to `load_estimator`
        """Misbehave, or read the estimator."""
        misbehave(Path(os.environ["LOADING_HOOK"]).read_text())
        return load_estimator(*args, **options)

    artifact.load_estimator = load_or_misbehave
