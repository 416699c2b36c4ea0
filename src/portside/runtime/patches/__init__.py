"""One file per module whose functions are replaced, each with `add(patcher)`.

A replacement takes the original as its first argument: `def sleep(real, seconds, /)`.
"""
