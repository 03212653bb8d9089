from importlib.metadata import version

import pytest

from app.errors import ModelRefusedError
from app.models.fitted_release import check_fitted_release

INSTALLED = version("scikit-learn")


def test_a_model_of_another_minor_version_is_refused_with_both_versions_and_the_next_step() -> None:
    with pytest.raises(ModelRefusedError) as error:
        check_fitted_release("0.9.7", label="houses version 3")

    assert error.value.detail == (
        f"houses version 3 was fitted with scikit-learn 0.9.7, but scikit-learn {INSTALLED} is installed here."
    )
    assert error.value.allowed.startswith("a model of scikit-learn ")
    assert all(command in error.value.next_step for command in ("manta train --pending", "manta local --train"))


def test_a_model_of_another_patch_version_is_accepted() -> None:
    check_fitted_release(INSTALLED.rpartition(".")[0] + ".99", label="houses version 3")
