from dataclasses import dataclass, field

import pytest

from app.models.version_choice import choose


@dataclass(frozen=True)
class Version:
    version: str
    tags: dict[str, str] = field(default_factory=dict)


HELD_BACK = {"gate": "passed", "manta.promote": "false"}
PROMOTED = HELD_BACK | {"manta.promoted_at": "1"}


@pytest.mark.parametrize(
    ("tags", "champion", "expected"),
    [
        (HELD_BACK, "1", "1"),
        (HELD_BACK, None, None),
        (PROMOTED, "1", "1"),
        (PROMOTED, None, "2"),
        (PROMOTED | {"manta.rolled_back": "true"}, None, None),
    ],
)
def test_a_version_that_waited_for_a_rollout_qualifies_only_after_the_rollout_and_without_a_champion(
    tags: dict[str, str], champion: str | None, expected: str | None
) -> None:
    assert choose([Version("2", tags)], champion) == expected
