"""A worker and its duties, one file each."""
