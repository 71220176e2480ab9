"""The retriever: documents in; a grounded, cited, streamed answer out."""
