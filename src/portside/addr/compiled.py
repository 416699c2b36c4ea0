"""What tells mypyc, which compiles the innermost modules on request (see the README), how a class is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
else:
    from collections.abc import Callable

    Kind = TypeVar("Kind", bound=type)

    def mypyc_attr(**_: object) -> Callable[[Kind], Kind]:
        """Mark a class for mypyc; the interpreter needs no mark."""
        return lambda kind: kind


__all__ = ["mypyc_attr"]
