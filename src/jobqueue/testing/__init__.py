"""The testing kit: virtual time, and the seam's specification as a test suite for backends."""

from jobqueue.testing.clock import ManualClock

__all__ = ["ManualClock"]
