"""The one exception that says: what the user gave is at fault, and this is how to mend it."""


class BadInput(Exception):  # noqa: N818 - not an error of ours
    """Input that its owner can mend.

    The message is one line for each fault, naming the file or key, its value and the remedy. A
    stage prints it without a traceback and exits with status 2.
    """
