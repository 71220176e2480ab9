"""The embedding service: text to vectors and to relevance, in batches."""
