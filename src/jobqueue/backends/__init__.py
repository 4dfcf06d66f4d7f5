"""Where jobs are kept: the seam, and the backends that come with the library."""

from jobqueue.backends.memory import MemoryBackend
from jobqueue.backends.protocol import Backend
from jobqueue.backends.redis import RedisBackend
from jobqueue.backends.sealed import SealedBackend

__all__ = ["Backend", "MemoryBackend", "RedisBackend", "SealedBackend"]
