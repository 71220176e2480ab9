"""The retriever: documents in; a grounded, cited, streamed answer out."""

import os

# Before NumPy is imported: from some thousand chunks on OpenBLAS multiplies by several threads, and
# they spin for 100 ms after it, so that each search took a core from the embedding model.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
