"""The program under test, with its files and its kubeconfig."""

from collections.abc import Iterator

import pytest

from tests.support.program import Program


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    made = Program(tmp_path_factory.mktemp("infra"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(made.kubeconfig))
        yield made
