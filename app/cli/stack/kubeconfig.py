"""The kubeconfig of a stack that does not deploy by kubectl's own files: `kubeconfig` or `clusterStack`."""

import atexit
import shutil
import tempfile
from pathlib import Path

from app.settings import set_kubeconfig


def use(content: str) -> None:
    """Let `kubectl` use a kubeconfig, in a file that only this user reads and that ends with the process.

    Args:
        content: Content of the kubeconfig; empty: `kubectl` keeps its own files.
    """
    if not content:
        return
    folder = Path(tempfile.mkdtemp(prefix="manta-"))  # mkdtemp creates a folder that only this user may read
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "kubeconfig"
    file.write_text(content)
    set_kubeconfig(file)
