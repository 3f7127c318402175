"""How the files of items' features are named in a data folder.

Knows a name; knows nothing about formats or encoders.
"""

FEATURE_SUFFIX = "_feat.npy"
