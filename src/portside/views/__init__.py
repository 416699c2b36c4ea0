"""A snapshot as text, in the words people know."""
