"""What can go wrong before a load test has begun; what goes wrong in it is a result."""


class LoadError(Exception):
    """The options, the data or the server do not allow this load test."""
