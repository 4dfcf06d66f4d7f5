"""Redis and Valkey. Nothing outside this folder imports ``redis``."""

from jobqueue.backends.redis.backend import RedisBackend
from jobqueue.backends.redis.cluster import ClusterBackend

__all__ = ["ClusterBackend", "RedisBackend"]
