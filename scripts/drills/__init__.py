"""Drills: what a page of docs/ promises, done on a fresh clone and timed."""
