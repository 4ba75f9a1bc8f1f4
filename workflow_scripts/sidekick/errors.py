"""The error that a user is meant to read."""


class SidekickError(Exception):
    """Bad input: the message names the place, the value and what is allowed."""
