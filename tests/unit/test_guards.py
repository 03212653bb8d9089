import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for folder in ("app", "infra", "scripts", "tests") for path in (ROOT / folder).rglob("*.py"))
MOST_LINES = 300


def test_every_file_is_short_enough_to_read_at_once() -> None:
    too_long = [str(path.relative_to(ROOT)) for path in SOURCES if len(path.read_text().splitlines()) > MOST_LINES]

    assert too_long == []


def test_only_the_settings_read_the_environment() -> None:
    reads = re.compile(r"os\.(?:environ|getenv)\b(?!, |\.get\(\"PATH\")")
    sources = [path for path in SOURCES if path.is_relative_to(ROOT / "app")]

    readers = {str(path.relative_to(ROOT)) for path in sources if reads.search(path.read_text())}

    assert readers == {"app/settings.py"}


@pytest.mark.parametrize("lock", ["app", "infra", "mlflow", "dev"])
def test_every_locked_requirement_is_exact_and_hashed(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    entries = re.split(r"\n(?=\S)", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).strip())

    assert entries
    assert [entry for entry in entries if not re.match(r"[\w.\[\]-]+==[\w.+!]+[ ;\\]", entry)] == []
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", ["app", "infra", "mlflow", "dev"])
def test_a_lock_names_no_index(lock: str) -> None:
    assert "://" not in (ROOT / "requirements" / f"{lock}.txt").read_text()


def test_the_locks_agree_with_each_other() -> None:
    pin = re.compile(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.+!]+)", re.MULTILINE)
    pins = {lock: dict(pin.findall((ROOT / "requirements" / f"{lock}.txt").read_text())) for lock in ("app", "infra")}
    dev = dict(pin.findall((ROOT / "requirements" / "dev.txt").read_text()))

    differing = {name for lock in pins.values() for name, version in lock.items() if dev.get(name) != version}

    assert differing == set()


def test_every_direct_requirement_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[\[<>=]", requirement)[0] for requirement in project["dependencies"]]
    lock = (ROOT / "requirements" / "app.txt").read_text()

    assert [name for name in names if not re.search(rf"^{name}==", lock, re.MULTILINE)] == []


def test_the_layout_in_the_readme_exists() -> None:
    readme = (ROOT / "README.md").read_text()
    layout = readme.split("## Where things are")[1].split("```")[1]
    paths = re.findall(r"^(\S+)  ", layout, re.MULTILINE)

    assert len(paths) > 5
    assert [path for path in paths if not (ROOT / path).exists()] == []
