"""A fork's own words and looks: the packaged files, and those of a folder that a setting names."""
