"""A person's side of the running stack: its API, what the terminal shows, folders handed in."""
