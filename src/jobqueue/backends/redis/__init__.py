"""Redis and Valkey. Nothing outside this folder imports ``redis``."""

from jobqueue.backends.redis.backend import RedisBackend

__all__ = ["RedisBackend"]
