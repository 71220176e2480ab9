"""Takes the demo's documents into a stack that has none, and says where its page is."""
