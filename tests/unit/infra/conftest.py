"""The program under test, with its project folder and its kubeconfig."""

from collections.abc import Iterator

import pytest

from tests.support.program import Program


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(tmp_path_factory.mktemp("infra"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(program.kubeconfig))
        yield program
