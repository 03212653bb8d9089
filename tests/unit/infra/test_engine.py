"""The recording engine: it refuses what the real one refuses, and runs to the end."""

from collections.abc import Callable

import pulumi
import pulumi_random as random
import pytest

from tests.support import engine


def twice() -> None:
    for _ in range(2):
        random.RandomPassword("same", length=8)


class _Stranger(pulumi.ComponentResource):
    def __init__(self) -> None:
        super().__init__("manta:index:Stranger", "stranger", None, None)
        self._urn = "urn:pulumi:test::manta::manta:index:Other::other"

    @property
    def urn(self) -> pulumi.Output[str]:
        return pulumi.Output.from_input(self._urn)

    @urn.setter
    def urn(self, _value: object) -> None:
        pass


def orphan() -> None:
    random.RandomPassword("child", length=8, opts=pulumi.ResourceOptions(parent=_Stranger()))


def failing_late() -> None:
    def fail(_text: str) -> None:
        raise AssertionError("late")

    random.RandomPassword("one", length=8).result.apply(fail)


@pytest.mark.parametrize(
    ("program", "said"),
    [(twice, "Duplicate resource"), (orphan, "nobody registered"), (failing_late, "late")],
)
def test_a_program_that_the_real_engine_would_refuse_fails(program: Callable[[], None], said: str) -> None:
    with pytest.raises(Exception, match=said):
        engine.run(program, config={})


def test_a_secret_is_wrapped_in_the_record_and_readable_to_the_test() -> None:
    def program() -> None:
        made = random.RandomPassword("one", length=8)
        random.RandomPassword("two", length=8, keepers={"of": made.result})

    record = engine.run(program, config={})

    two = record.one("random:index/randomPassword:RandomPassword", "two")
    assert two.inputs["keepers"]["of"] == record.generated["one"]
    assert engine.HIDDEN in str(two.public)
    assert record.resources[next(iter(two.dependencies))].name == "one"
