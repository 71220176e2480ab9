"""From uploaded bytes to chunks: parsing, chunking and the processes that do both."""
