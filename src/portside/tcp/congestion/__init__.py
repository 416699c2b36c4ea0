"""Congestion control algorithms: how large the window may be, and what a loss does to it (RFC 5681, section 3.1)."""
