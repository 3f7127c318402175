"""The error whose message is all that a user needs.

Knows nothing about what went wrong; the command line shows it without a traceback.
"""


class ExplainedError(Exception):
    """Something that a user can put right; the message says what is wrong and what to do."""
