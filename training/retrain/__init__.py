"""One retraining: events in, a new model out, if it is no worse than the live one.

Knows every part of training and publishing; nothing knows it but the command line.
"""
