"""Raw content -> pretrained encoders -> feature files, as `python -m training encode` runs it.

Knows item tables, pictures and encoders; knows nothing about interactions or the model. Importing
the package loads no encoder library: those come with the extra `encoders`.
"""
