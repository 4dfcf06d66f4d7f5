"""The pytest plugin: ``clock``, ``queue`` and ``worker`` fixtures."""
