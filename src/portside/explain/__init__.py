"""Answers about a Snapshot: what a notation means, who can reach a listener, whether a bind would work, which ports
are left. The package itself can be called: `portside.explain(":22")` is `portside.explain.notation.explain(":22")`."""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False  # typing's, which need not be imported for it

if TYPE_CHECKING:
    from portside.explain.notation import Explanation


class _Callable(ModuleType):
    """A package that is a function too: importing a part of it binds its name in `portside`."""

    def __call__(self, text: str) -> Explanation:
        """What a notation of an endpoint means; see `portside.explain.notation`."""
        from portside.explain.notation import explain

        return explain(text)


sys.modules[__name__].__class__ = _Callable
