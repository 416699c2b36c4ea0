"""Answers about a Snapshot: what a notation means, who can reach a listener, whether a bind would work, which ports
are left."""
