"""People who log in at an OpenID provider: their access tokens become principals."""
