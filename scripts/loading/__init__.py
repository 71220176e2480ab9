"""Loads a retriever, or any OpenAI-compatible endpoint, and judges what came back."""
