"""Dialogues: one program, run on the real kernel and on a simulated host; what it saw must be equal."""
