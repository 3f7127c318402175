"""Cold start: how well users and items are served that a model was not trained with.

Knows the model through training, encoding and scoring; knows nothing about serving.
"""
