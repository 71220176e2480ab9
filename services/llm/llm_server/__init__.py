"""The model server of the embedded mode: llama.cpp behind OpenAI's API."""
