"""Measures the retriever through its HTTP API on judged collections."""
