"""Makes the stack's secrets on first start, each in the volume of the service that reads it."""
