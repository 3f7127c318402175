"""`make scale`: how time and memory grow with the data, one file per part."""
