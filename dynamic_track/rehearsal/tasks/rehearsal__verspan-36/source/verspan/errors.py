"""What can be wrong with a version or a range."""


class VersionError(ValueError):
    """A text that is no semantic version."""


class RangeError(ValueError):
    """A text that is no range; the message names the term."""
