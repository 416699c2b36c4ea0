"""Socket addresses as the kernel's calls take and give them: tuples that begin with the family.

`(AF_INET, address, port)`, `(AF_INET6, address, port, flowinfo, scope_id)`, `(AF_UNIX, path)` with the path as bytes
(empty: unnamed; a leading NUL: abstract), `(AF_UNSPEC,)`. Internet addresses are integers as in `addr/ip.py`.
"""

from __future__ import annotations

SockAddr = tuple[int, int, int] | tuple[int, int, int, int, int] | tuple[int, bytes] | tuple[int]
