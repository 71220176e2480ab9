"""The sample database: the operations of a fictional port company."""
