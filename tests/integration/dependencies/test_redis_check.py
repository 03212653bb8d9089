"""The check of Redis against real servers: what Ray needs, and the sentence that mends each fault."""

from pathlib import Path

import pytest
import redis
from pydantic import SecretStr

from app.dependencies import redis_check
from app.dependencies.redis_check import RedisAddress
from app.dependencies.result import CheckFailedError, Result, Status
from tests.support import redis_server
from tests.support.redis_server import RedisServer

pytestmark = redis_server.needed

PASSWORD = "p/a&s@s"  # noqa: S105 - the password of a test
PROTECTED = ("--requirepass", PASSWORD)


def check(server: RedisServer, *, user: str = "", password: str = "", address: str = "") -> Result:
    return redis_check.check(
        RedisAddress.parse(
            address or server.address, user=user, password=SecretStr(password), authorities=server.authorities
        )
    )


def failure(server: RedisServer, *, user: str = "", password: str = "", address: str = "") -> str:
    with pytest.raises(CheckFailedError) as error:
        check(server, user=user, password=password, address=address)
    return f"{error.value.detail} {error.value.next_step}"


def test_a_redis_with_password_and_append_only_file_passes_and_keeps_no_key_of_the_check(tmp_path: Path) -> None:
    with redis_server.running(tmp_path, *PROTECTED, "--appendonly", "yes") as server:
        result = check(server, password=PASSWORD)

        assert result.status is Status.OK
        assert "stores the state of Ray" in result.detail
        assert redis.Redis(port=server.port, password=PASSWORD).dbsize() == 0


def test_a_redis_with_tls_passes_with_its_authority(tmp_path: Path) -> None:
    with redis_server.running(tmp_path, "--appendonly", "yes", uses_tls=True) as server:
        assert check(server).status is Status.OK


def test_a_redis_without_a_file_passes_with_a_warning(tmp_path: Path) -> None:
    with redis_server.running(tmp_path, "--save", "") as server:
        result = check(server)

        assert result.status is Status.WARNING
        assert "stores nothing on disk" in result.detail


@pytest.mark.parametrize("password", ["", "another password"])
def test_a_wrong_password_is_named(tmp_path: Path, password: str) -> None:
    with redis_server.running(tmp_path, *PROTECTED) as server:
        text = failure(server, password=password)

        assert "refuses the password" in text
        assert "pulumi config set --secret redisPassword" in text


def test_a_user_without_rights_is_named(tmp_path: Path) -> None:
    with redis_server.running(tmp_path, "--user", "ray", "on", f">{PASSWORD}", "~*", "+info", "+hset") as server:
        text = failure(server, user="ray", password=PASSWORD)

        assert "The user ray of Redis may not do what Ray does" in text


def test_an_unknown_authority_is_named(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with redis_server.running(tmp_path, uses_tls=True) as server:
        stranger = RedisServer(server.port, str(redis_server.create_certificates(other)))

        text = failure(stranger)

        assert "is not trusted" in text
        assert "pulumi config set redisCa" in text


def test_tls_to_a_server_without_tls_is_named(tmp_path: Path) -> None:
    with redis_server.running(tmp_path) as server:
        text = failure(server, address=server.address.replace("redis://", "rediss://"))

        assert "pulumi config set redisTls false" in text


def test_a_server_with_tls_that_is_asked_without_is_named(tmp_path: Path) -> None:
    with redis_server.running(tmp_path, uses_tls=True) as server:
        text = failure(server, address=server.address.replace("rediss://", "redis://"))

        assert "pulumi config set redisTls true" in text


def test_an_eviction_policy_that_loses_state_is_named(tmp_path: Path) -> None:
    with redis_server.running(tmp_path, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru") as server:
        text = failure(server)

        assert "eviction policy allkeys-lru" in text
        assert "noeviction" in text


def test_a_full_redis_is_named(tmp_path: Path) -> None:
    with redis_server.running(tmp_path, "--maxmemory", "1000000") as server:
        assert "Redis is full" in failure(server)


def test_a_read_only_replica_is_named(tmp_path: Path) -> None:
    with redis_server.running(tmp_path, "--replicaof", "127.0.0.1 1") as server:
        assert "read-only replica" in failure(server)


def test_an_address_at_which_nothing_answers_is_named(tmp_path: Path) -> None:
    with redis_server.running(tmp_path) as server:
        address = server.address
    text = failure(server, address=address)

    assert "Nothing answers at 127.0.0.1" in text
    assert "redisAddress" in text


def test_a_name_that_nobody_knows_is_named(tmp_path: Path) -> None:
    with redis_server.running(tmp_path) as server:
        text = failure(server, address="redis://redis.invalid:6379")

        assert "The name redis.invalid cannot be resolved" in text
