"""The failure of something to become ready in time."""


class NotReady(Exception):
    """Something did not become ready in time; the message names it and its log."""
