"""Names of columns that tell what an item is.

Knows names only; loads nothing, so that launchers can look at a table's head.
"""

TITLE_COLUMNS = ("title", "movie_title", "name", "item_name")
YEAR_COLUMNS = ("year", "release_year")
CATEGORY_COLUMNS = ("categories", "genres", "genre", "category", "class")
PICTURE_COLUMNS = ("picture_url", "image_url", "picture", "image", "poster")
DESCRIPTION_COLUMNS = ("overview", "description", "plot", "summary", "text")
