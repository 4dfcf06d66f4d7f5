"""The contestants: one file each, run in an environment of its own, set up as its documentation advises for speed."""
