"""What can go wrong."""


class CommandLineError(ValueError):
    """Something that the user wrote; the message is for the user."""
