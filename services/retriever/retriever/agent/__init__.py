"""The agent: the model's tool calls, through one gate, under one policy."""
