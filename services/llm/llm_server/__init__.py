"""The model server of the default profile: llama.cpp behind OpenAI's API."""
