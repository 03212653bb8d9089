"""The program that sets MLflow's users: it needs no valid password, and repeats without harm."""

import pytest
from mlflow.exceptions import MlflowException

from infra.components.mlflow.users_program import remove_user, set_users

ADMIN = ("admin", "password-of-the-admin")
CLIENT = ("ray-1", "password-of-the-pods")


class FakeStore:
    """MLflow's users in memory, with a count of the writes."""

    def __init__(self, **users: str) -> None:
        self.users = dict(users)
        self.writes = 0

    def has_user(self, username: str) -> bool:
        return username in self.users

    def authenticate_user(self, username: str, password: str) -> bool:
        return self.users.get(username) == password

    def create_user(self, username: str, password: str, is_admin: bool) -> None:  # noqa: FBT001 - as in MLflow
        assert is_admin
        self.update_user(username, password)

    def update_user(self, username: str, password: str) -> None:
        self.users[username] = password
        self.writes += 1

    def delete_user(self, username: str) -> None:
        del self.users[username]


class BusyStore(FakeStore):
    """A store in which another server creates each user first."""

    def create_user(self, username: str, password: str, is_admin: bool) -> None:  # noqa: FBT001 - as in MLflow
        super().create_user(username, password, is_admin)
        raise MlflowException("the user exists")


@pytest.mark.parametrize("store", [FakeStore(), BusyStore(), FakeStore(admin="password-of-an-earlier-stack")])
def test_both_users_exist_with_their_passwords_afterwards(store: FakeStore) -> None:
    set_users(store, [ADMIN, CLIENT])

    assert store.users == dict([ADMIN, CLIENT])


def test_users_that_are_right_are_not_written_again() -> None:
    store = FakeStore(**dict([ADMIN, CLIENT]))

    set_users(store, [ADMIN, CLIENT])

    assert store.writes == 0


def test_a_user_is_kept_until_it_is_removed() -> None:
    store = FakeStore(**{"ray-0": "password-of-the-old-pods"})

    set_users(store, [ADMIN, CLIENT])
    assert "ray-0" in store.users
    for _ in range(2):
        remove_user(store, "ray-0")

    assert store.users == dict([ADMIN, CLIENT])


def test_an_error_of_the_database_is_raised() -> None:
    class BrokenStore(FakeStore):
        def create_user(self, username: str, password: str, is_admin: bool) -> None:  # noqa: ARG002, FBT001 - as in MLflow
            raise MlflowException(f"no room for {username}")

    with pytest.raises(MlflowException, match="no room for admin"):
        set_users(BrokenStore(), [ADMIN])
