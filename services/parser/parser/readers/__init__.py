"""A module for each kind of document, all with one function, `extract`."""
