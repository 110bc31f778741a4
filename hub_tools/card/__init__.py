"""Model cards: one result put into the text of a card, and not a byte of anything else changed."""
