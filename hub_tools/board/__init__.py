"""Scores read back from the Hub, joined with one's own, and ranked with ties."""
