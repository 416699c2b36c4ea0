"""Bytes to headers and back, without state. Only the edges of a simulation need it: captures and real
devices."""
