"""The error whose message is all that a person needs: the command line shows it as one line."""


class ExplainedError(Exception):
    """Something that a person can put right; the message says what is wrong and what to do."""
