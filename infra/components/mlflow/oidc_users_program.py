"""Sets and removes the users of mlflow-oidc-auth that no provider knows: the administrator and the user of Ray's pods.

This file runs in MLflow's pods, not in Pulumi. The plugin generates the access tokens of its users, and lets them
expire. This program stores the passwords of the stack as access tokens without an end, so the pods log in as with
MLflow's basic authentication. Both users are service accounts: no account of the provider can take their names.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Final

import sqlalchemy
from mlflow_oidc_auth.db.models import SqlUser, SqlUserToken
from mlflow_oidc_auth.repository.user import normalize_username
from mlflow_oidc_auth.repository.user_token import TOKEN_HASH_METHOD, parse_prefix
from mlflow_oidc_auth.store import store
from mlflow_oidc_auth.utils.service_accounts import INTERNAL_SOURCE
from werkzeug.security import generate_password_hash

NEVER: Final = datetime(9999, 1, 1)  # noqa: DTZ001 - the plugin stores times without a zone
TOKEN_NAME: Final = "manta"  # noqa: S105 - a name


@contextmanager
def postgres_schema(address: str, schema: str) -> Iterator[None]:
    """Create the schema of the plugin's tables. Other servers that start wait until the block ends."""
    engine = sqlalchemy.create_engine(address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("select pg_advisory_lock(hashtext(:schema))"), {"schema": schema})
        connection.execute(sqlalchemy.text(f'create schema if not exists "{schema}"'))
        yield
        connection.invalidate()  # the lock ends with the connection, which would return to the pool


def set_user(name: str, password: str) -> None:
    """Create an administrator if it does not exist, and give it its password."""
    if not store.has_user(name):
        store.create_user(name, name, is_admin=True, is_service_account=True)
    has_password = store.authenticate_user(name, password)
    with store.ManagedSessionMaker(read_only=False) as session:
        user = session.query(SqlUser).filter(SqlUser.username == normalize_username(name)).one()
        user.is_admin = user.is_service_account = user.active = True
        user.service_account_source = INTERNAL_SOURCE
        if has_password:
            return
        session.query(SqlUserToken).filter(SqlUserToken.user_id == user.id).delete()
        session.add(
            SqlUserToken(
                user_id=user.id,
                name=TOKEN_NAME,
                token_prefix=parse_prefix(password),
                token_hash=generate_password_hash(password, method=TOKEN_HASH_METHOD),
                created_at=datetime.now(UTC).replace(tzinfo=None),
                expires_at=NEVER,
            )
        )


def remove_user(name: str) -> None:
    """Delete a user, if it exists."""
    if store.has_user(name):
        store.delete_user(name)


def main(arguments: list[str]) -> None:
    """Run `set`, or `remove NAME`."""
    if arguments[0] == "remove":
        remove_user(arguments[1])
        return
    schema = os.environ.get("OIDC_SCHEMA")
    with postgres_schema(os.environ["OIDC_USERS_DB_URI"], schema) if schema else nullcontext():
        for user in ("ADMIN", "CLIENT"):
            set_user(os.environ[f"{user}_USERNAME"], os.environ[f"{user}_PASSWORD"])


if __name__ == "__main__":
    main(sys.argv[1:])
