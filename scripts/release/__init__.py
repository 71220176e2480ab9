"""A release: build, sign, verify. The same commands run in the workflow and by hand."""
