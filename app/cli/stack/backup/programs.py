"""The Python programs that run in MLflow's pod. Each gets the folder of the volume as its argument."""

from typing import Final

BACKUP: Final = """\
import pathlib, sqlite3, sys, tarfile, tempfile
data = pathlib.Path(sys.argv[1])
with tempfile.TemporaryDirectory(dir=data) as folder, tarfile.open(fileobj=sys.stdout.buffer, mode="w|gz") as archive:
    for name in ("mlflow.db", "basic_auth.db", "oidc_auth.db"):
        if (data / name).exists():
            source, copy = sqlite3.connect(data / name), sqlite3.connect(f"{folder}/{name}")
            source.backup(copy)
            source.close()
            copy.close()
            archive.add(f"{folder}/{name}", arcname=name)
    if (data / "artifacts").exists():
        archive.add(data / "artifacts", arcname="artifacts")
"""
"""Writes the archive to stdout. First the databases, by SQLite's own backup while the server runs, then the artifacts:
a model that is registered in between has files in the archive and no row, which does no harm."""

RESTORE: Final = """\
import pathlib, sqlite3, sys, tarfile, tempfile
data = pathlib.Path(sys.argv[1])
with tempfile.TemporaryDirectory(dir=data) as folder:
    new = pathlib.Path(folder)
    with tarfile.open(fileobj=sys.stdin.buffer, mode="r|gz") as archive:
        archive.extractall(new, filter="data")
    databases = [new / name for name in ("mlflow.db", "basic_auth.db", "oidc_auth.db") if (new / name).exists()]
    for database in databases:
        connection = sqlite3.connect(database)
        answer = connection.execute("pragma integrity_check").fetchone()[0]
        connection.close()
        if answer != "ok":
            sys.exit(f"{database.name} in the archive is damaged: {answer}")
    if not databases:
        sys.exit("the archive holds no database")
    if (new / "artifacts").exists():
        old = new / "artifacts-before"
        if (data / "artifacts").exists():
            (data / "artifacts").rename(old)
        (new / "artifacts").rename(data / "artifacts")
    for database in databases:
        for suffix in ("-wal", "-shm", "-journal"):
            (data / f"{database.name}{suffix}").unlink(missing_ok=True)
        database.replace(data / database.name)
"""
"""Reads the archive from stdin. Nothing on the volume changes before the whole archive is there and intact."""
