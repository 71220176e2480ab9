"""The neighbours: the embedding service and the model server."""
