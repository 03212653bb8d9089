"""The recording engine: it refuses programs that the real engine refuses, and runs the others to the end."""

from collections.abc import Callable

import pulumi
import pulumi_random as random
import pytest

from tests.support import engine


def register_twice() -> None:
    for _ in range(2):
        random.RandomPassword("same", length=8)


class _Unregistered(pulumi.ComponentResource):
    """A component whose URN the engine does not know."""

    def __init__(self) -> None:
        super().__init__("manta:index:Unregistered", "unregistered", None, None)
        self._urn = "urn:pulumi:test::manta::manta:index:Other::other"

    @property
    def urn(self) -> pulumi.Output[str]:
        return pulumi.Output.from_input(self._urn)

    @urn.setter
    def urn(self, _value: object) -> None:
        pass


def register_with_unknown_parent() -> None:
    random.RandomPassword("child", length=8, opts=pulumi.ResourceOptions(parent=_Unregistered()))


def fail_in_an_output() -> None:
    def fail(_text: str) -> None:
        raise AssertionError("failed in apply")

    random.RandomPassword("first", length=8).result.apply(fail)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (register_twice, "Duplicate resource"),
        (register_with_unknown_parent, "is not registered"),
        (fail_in_an_output, "failed in apply"),
    ],
)
def test_a_program_that_the_real_engine_would_refuse_fails(program: Callable[[], None], message: str) -> None:
    with pytest.raises(Exception, match=message):
        engine.run(program, config={})


def test_a_secret_is_wrapped_in_the_record_and_readable_by_the_test() -> None:
    def program() -> None:
        first = random.RandomPassword("first", length=8)
        random.RandomPassword("second", length=8, keepers={"of": first.result})

    record = engine.run(program, config={})

    second = record.resource("random:index/randomPassword:RandomPassword", "second")
    assert second.inputs["keepers"]["of"] == record.generated["first"]
    assert engine.HIDDEN in str(second.public)
    assert record.resources[next(iter(second.dependencies))].name == "first"
