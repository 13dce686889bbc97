"""What a user did wrong, in one line."""


class UserError(Exception):
    """Printed without a traceback; the program exits with 2."""
