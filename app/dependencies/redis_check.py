"""Checks the Redis that stores the state of the Ray head."""

import secrets
import ssl
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from app.dependencies.result import CONNECT_TIMEOUT_S, CheckFailedError, Result, Status, caused_by, connect, resolve
from app.errors import cause

NAME: Final = "redis"
DEFAULT_PORT: Final = 6379
MAX_MEMORY_SHARE: Final = 0.9
"""Share of `maxmemory` in use from which Redis counts as full."""
PREFIX: Final = "manta-check:"
"""Prefix of the key that the check writes, reads and deletes."""


@dataclass(frozen=True, kw_only=True)
class RedisAddress:
    """How Ray reaches Redis."""

    host: str
    port: int
    uses_tls: bool
    user: str
    password: SecretStr
    authorities: str
    """File with the certificate authorities."""

    @classmethod
    def parse(cls, address: str, *, user: str, password: SecretStr, authorities: str) -> "RedisAddress":
        """Parse Ray's address: HOST:PORT, redis://HOST:PORT or rediss://HOST:PORT."""
        url = urlsplit(address if "://" in address else f"redis://{address}")
        return cls(
            host=url.hostname or "",
            port=url.port or DEFAULT_PORT,
            uses_tls=url.scheme == "rediss",
            user=user,
            password=password,
            authorities=authorities,
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def check(address: RedisAddress) -> Result:
    """Check address, TLS, user, password, rights, eviction policy, room and persistence.

    Raises:
        CheckFailedError: Ray cannot store its state in this Redis.
    """
    resolve(address.host, key="redisAddress")
    step = "Check `redisAddress`, the firewall of Redis, and the connections that `extraEgress` allows."
    connect(address.host, address.port, next_step=step)
    client = _client(address)
    try:
        info = _log_in(client, address)
        _check_memory(info)
        _check_cluster(client, info)
        _check_rights(client, address)
        warning = _persistence_warning(client, info)
    finally:
        client.close()
    detail = f"Redis {info['redis_version']} at {address} stores the state of Ray; {_usage(info)}."
    return Result(check=NAME, status=Status.WARNING if warning else Status.OK, detail=warning or detail)


def _client(address: RedisAddress) -> redis.Redis:
    options: dict[str, Any] = {}  # the options of redis-py's constructor have many types
    if address.uses_tls:
        # Like Ray, the check verifies the authority, but not the name in the certificate.
        options = {"ssl": True, "ssl_ca_certs": address.authorities or None, "ssl_check_hostname": False}
    return redis.Redis(
        host=address.host,
        port=address.port,
        username=address.user or None,
        password=address.password.get_secret_value() or None,
        socket_timeout=CONNECT_TIMEOUT_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), retries=0),  # `checks.run` repeats the check
        **options,
    )


def _log_in(client: redis.Redis, address: RedisAddress) -> dict[str, Any]:
    """Log in, and read what Redis says about itself: values of many types, by Redis' names."""
    try:
        info: dict[str, Any] = client.info("everything")
    except (AuthenticationError, NoPermissionError, ResponseError) as error:
        user = f" for the user {address.user}" if address.user else ""
        raise CheckFailedError(
            f"Redis at {address} refuses the password{user}: {cause(error)}.",
            next_step="Set it with: pulumi config set --secret redisPassword (and `redisUser`, if Redis has users)",
        ) from error
    except (RedisError, OSError) as error:
        raise _connection_error(error, address) from error
    return info


def _connection_error(error: Exception, address: RedisAddress) -> CheckFailedError:
    if unknown := caused_by(error, ssl.SSLCertVerificationError):
        return CheckFailedError(
            f"The certificate of Redis at {address} is not trusted: {cause(unknown)}.",
            next_step='Name its authority: pulumi config set redisCa -- "$(cat ca.pem)"',
        )
    if address.uses_tls:
        return CheckFailedError(
            f"Redis at {address} does not answer over TLS: {cause(error)}.",
            next_step="If Redis has no TLS: pulumi config set redisTls false",
        )
    return CheckFailedError(
        f"Redis at {address} does not answer without TLS: {cause(error)}.",
        next_step="If Redis needs TLS: pulumi config set redisTls true",
        is_transient=True,
    )


def _check_memory(info: dict[str, Any]) -> None:
    policy = info.get("maxmemory_policy", "noeviction")
    limit, used = info.get("maxmemory", 0), info["used_memory"]
    if limit and policy != "noeviction":
        raise CheckFailedError(
            f"Redis has the eviction policy {policy}: when its memory is full, it deletes state of the Ray cluster.",
            next_step="Set `maxmemory-policy noeviction` in the configuration of Redis.",
        )
    if limit and used > limit * MAX_MEMORY_SHARE:
        raise CheckFailedError(
            f"Redis is full: {used} of {limit} bytes are in use.", next_step="Give Redis more memory, or another Redis."
        )


def _check_cluster(client: redis.Redis, info: dict[str, Any]) -> None:
    """Ray stores its state in one shard."""
    if not info.get("cluster_enabled"):
        return
    nodes = client.cluster("INFO")
    shards = int(nodes.get("cluster_size", 1)) if isinstance(nodes, dict) else 1
    if shards > 1:
        raise CheckFailedError(
            f"Redis is a cluster of {shards} shards, and Ray uses a single shard.",
            next_step="Use a Redis without cluster mode, or a cluster of one shard.",
        )


def _check_rights(client: redis.Redis, address: RedisAddress) -> None:
    """Write, read and delete a key as Ray does: the state of a cluster is a few hashes."""
    key = PREFIX + secrets.token_hex(8)
    try:
        client.hset(key, "field", "value")
        client.hget(key, "field")
        client.scan(match=f"{key}*")
        client.delete(key)
    except ReadOnlyError as error:
        raise CheckFailedError(
            f"Redis at {address} is a read-only replica.", next_step="Set `redisAddress` to the primary."
        ) from error
    except NoPermissionError as error:
        raise CheckFailedError(
            f"The user {address.user or 'default'} of Redis may not do what Ray does: {cause(error)}.",
            next_step="Give the user all commands and keys: ACL SETUSER NAME ~* +@all",
        ) from error
    except OutOfMemoryError as error:
        raise CheckFailedError(f"Redis is full: {cause(error)}.", next_step="Give Redis more memory.") from error
    except RedisError as error:
        raise CheckFailedError(
            f"Redis at {address} refuses to write: {cause(error)}.", next_step="See the log of Redis."
        ) from error


def _usage(info: dict[str, Any]) -> str:
    """Describe the memory in use, and when Redis last saved its data."""
    limit = f" of {info['maxmemory'] / 2**20:.0f} MiB" if info.get("maxmemory") else " MiB, without a limit,"
    used = f"{info['used_memory'] / 2**20:.0f}{limit} in use"
    if info.get("aof_enabled"):
        return f"{used}, every change is written to the append-only file"
    age_s = time.time() - info.get("rdb_last_save_time", time.time())
    return f"{used}, last saved {age_s / 60:.0f} minutes ago"


def _persistence_warning(client: redis.Redis, info: dict[str, Any]) -> str:
    """Say what a restart of Redis loses; empty if it loses nothing, or if Redis does not tell."""
    if info.get("aof_enabled"):
        failed = [name for name in ("aof_last_write_status", "aof_last_bgrewrite_status") if info.get(name) == "err"]
        return f"Redis cannot write its file: {', '.join(failed)} is err. Its volume may be full." if failed else ""
    if info.get("rdb_last_bgsave_status") == "err":
        return "Redis could not save its data the last time: see its log."
    try:
        save = client.config_get("save").get("save", "")
    except RedisError:
        return ""  # a managed Redis refuses CONFIG
    return "" if save else "Redis stores nothing on disk: when it restarts, the Ray cluster restarts too."
