"""Names of files and columns in a data folder. It loads no library."""

FEATURE_SUFFIX = "_feat.npy"
TITLE_COLUMNS = ("title", "movie_title", "name", "item_name")
YEAR_COLUMNS = ("year", "release_year")
CATEGORY_COLUMNS = ("categories", "genres", "genre", "category", "class")
PICTURE_COLUMNS = ("picture_url", "image_url", "picture", "image", "poster")
DESCRIPTION_COLUMNS = ("overview", "description", "plot", "summary", "text")
HEAD_COLUMNS = ("head_id", "head")
RELATION_COLUMNS = ("relation_id", "relation")
TAIL_COLUMNS = ("tail_id", "tail")
ENTITY_COLUMNS = ("entity_id", "entity")
MAX_ATTRIBUTE = 256
"""Characters of a text that is kept as an attribute: longer ones are no values to filter by."""
