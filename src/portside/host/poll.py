"""poll(2) and select(2): the state of many files at once (fs/select.c)."""

from __future__ import annotations
