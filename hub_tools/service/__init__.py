"""Scores when weights change: a webhook and a sweep fill a queue, a worker empties it."""
