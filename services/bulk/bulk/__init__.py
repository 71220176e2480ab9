"""Bulk ingestion: a corpus of millions, on Ray Data, into the retriever's index."""

import os

# Whoever has a channel open and starts a process is told of it by gRPC, at each of Ray's; it reads
# this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
