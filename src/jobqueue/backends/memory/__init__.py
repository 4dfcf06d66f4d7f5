"""Jobs in this process: the reference model of the seam, and what runs when there is no Redis."""

from jobqueue.backends.memory.backend import MemoryBackend

__all__ = ["MemoryBackend"]
