"""The failure of the demo to run to its end."""


class DemoFailed(Exception):
    """It could not go on; the message says who lags or what failed, and where to look."""
