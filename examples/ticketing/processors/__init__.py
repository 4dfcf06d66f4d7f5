"""The work itself: one module for each queue."""
