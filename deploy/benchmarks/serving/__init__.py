"""`make bench`: the service beside its peers and floors, one file per part."""
