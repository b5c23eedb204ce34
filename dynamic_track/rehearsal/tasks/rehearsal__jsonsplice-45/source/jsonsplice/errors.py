"""What can go wrong."""


class PointerError(ValueError):
    """A text that is no pointer, or a pointer to nothing."""


class PatchError(ValueError):
    """A patch that is none, or that does not fit the document."""
