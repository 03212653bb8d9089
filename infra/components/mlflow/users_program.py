"""Sets and removes the users of MLflow's basic authentication. This file runs in MLflow's pods, not in Pulumi.

MLflow creates its administrator only in an empty database. A changed password, or a database that outlives the stack,
needs this program, which needs no valid password.
"""

import os
import sys
from collections.abc import Iterable
from typing import Protocol

from mlflow.exceptions import MlflowException


class UserStore(Protocol):
    """The methods of MLflow's `SqlAlchemyStore` that this program calls."""

    def has_user(self, username: str) -> bool:
        """Whether the user exists."""

    def authenticate_user(self, username: str, password: str) -> bool:
        """Whether the password is that of the user."""

    def create_user(self, username: str, password: str, is_admin: bool) -> object:  # noqa: FBT001 - as in MLflow
        """Create a user."""

    def update_user(self, username: str, password: str) -> object:
        """Change the password of a user."""

    def delete_user(self, username: str) -> None:
        """Delete a user."""


def set_users(store: UserStore, users: Iterable[tuple[str, str]]) -> None:
    """Create each administrator that does not exist, and give each its password.

    Args:
        store: MLflow's users.
        users: Name and password of each administrator.
    """
    for name, password in users:
        if not store.has_user(name):
            _create(store, name, password)
        elif not store.authenticate_user(name, password):
            store.update_user(name, password=password)


def remove_user(store: UserStore, name: str) -> None:
    """Delete a user, if it exists."""
    if store.has_user(name):
        store.delete_user(name)


def _create(store: UserStore, name: str, password: str) -> None:
    try:
        store.create_user(name, password, is_admin=True)
    except MlflowException:
        if not store.has_user(name):  # another server that started at the same moment has created it
            raise


def main(arguments: list[str]) -> None:
    """Run `set`, or `remove NAME`."""
    from mlflow.server.auth.config import read_auth_config  # noqa: PLC0415 - needs Flask-WTF, which only MLflow's image has
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - as above

    config, store = read_auth_config(), SqlAlchemyStore()
    store.init_db(config.database_uri)  # type: ignore[no-untyped-call] # MLflow gives this method no types
    if arguments[0] == "remove":
        remove_user(store, arguments[1])
    else:
        clients = (os.environ["CLIENT_USERNAME"], os.environ["CLIENT_PASSWORD"])
        set_users(store, [(str(config.admin_username), str(config.admin_password)), clients])


if __name__ == "__main__":
    main(sys.argv[1:])
