"""The retriever on real HTTP."""

from retrieving import api, embedding_server, filled, llm, llm_server, parser, settings

__all__ = ["api", "embedding_server", "filled", "llm", "llm_server", "parser", "settings"]
