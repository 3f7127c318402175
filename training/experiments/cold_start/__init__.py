"""Cold start: how well users and items are served that a model was not trained with."""
