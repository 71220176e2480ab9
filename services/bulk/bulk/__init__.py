"""Bulk ingestion: a corpus of millions, on Ray Data, into the retriever's index."""
