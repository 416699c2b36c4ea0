"""Ours alone: the cost of a lookup and of a bind, and the memory of a socket, in tables of growing size.

    python -m benchmarks.tables [SIZE...]
"""
