"""The compute that a network needs for one sample."""
