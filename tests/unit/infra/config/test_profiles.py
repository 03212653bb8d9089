"""Profiles replace defaults, and never a key that the stack sets."""

import re
from pathlib import Path

import pytest

from infra.config import profiles, settings
from infra.config.profiles import keys_of_file
from infra.config.settings import Settings, SettingsError

CONTEXT = {"context": "minikube"}
SITE = {
    "context": "prod",
    "registry": "registry.example.com/ml",
    "postgresHost": "db.example.com",
    "postgresSecret": "mlflow-postgres",
    "artifactRoot": "s3://bucket",
    "host": "manta.example.com",
    "tls": "manta-tls",
}


def parse(profile: str, values: dict[str, str], *, set_keys: set[str] | None = None) -> Settings:
    """Settings of a stack, with the defaults that Pulumi passes."""
    fields = settings.keys()
    defaults = {key: settings.default_text(fields[key]) for keys in profiles.profiles().values() for key in keys}
    raw = defaults | values | {"profile": profile}
    return settings.parse(
        {f"manta:{key}": value for key, value in raw.items()}, set_keys=values if set_keys is None else set_keys
    )


@pytest.mark.parametrize(
    ("profile", "values"),
    [("laptop", CONTEXT), ("small", CONTEXT | {"registry": "registry.example.com/ml"}), ("production", SITE)],
)
def test_a_profile_sets_its_values(profile: str, values: dict[str, str]) -> None:
    stack = parse(profile, values)

    flat = {name: value for group in stack.model_dump(by_alias=True).values() for name, value in group.items()}
    expected = profiles.profiles()[profile]
    assert {key: profiles.text(flat[key]) for key in expected} == expected


def test_a_key_that_the_stack_sets_wins_also_with_the_value_of_the_default() -> None:
    stack = parse("production", SITE | {"minWorkers": "1", "cpus": "8"})

    assert (stack.size.min_workers, stack.size.cpus, stack.size.replicas) == (1, 8, 3)


def test_a_value_that_is_not_in_the_stacks_file_wins_if_it_is_not_the_default() -> None:
    stack = parse("production", SITE | {"minWorkers": "3"}, set_keys=set(SITE))

    assert stack.size.min_workers == 3


def test_production_names_what_only_the_site_knows() -> None:
    with pytest.raises(SettingsError) as error:
        parse("production", {"context": "prod"})

    for key in ("registry", "postgresHost", "postgresPassword", "artifactRoot", "host", "tls"):
        assert re.search(rf"pulumi config set (--secret )?{key}\b", str(error.value)), key


def test_an_unknown_profile_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(
        SettingsError, match=r"'none', 'laptop', 'small' or 'production'.*pulumi config set profile small"
    ):
        parse("large", CONTEXT)


def test_the_keys_of_a_stacks_file_are_read(tmp_path: Path) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("encryptionsalt: v1\nconfig:\n  manta:cpus: 1\n  other:cpus: 2\n")

    assert keys_of_file(file, "manta") == {"cpus", "other:cpus"}
    assert keys_of_file(tmp_path / "Pulumi.none.yaml", "manta") == set()
