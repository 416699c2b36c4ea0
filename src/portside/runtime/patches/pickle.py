"""`pickle`: classes and functions of a program's own modules, which the C code looks for among the shared ones."""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Protocol, cast

from portside.runtime.loader import Loader
from portside.runtime.patcher import Patcher
from portside.runtime.program import current_program

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Real = Callable[..., object]


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


def _has_own_modules() -> bool:
    program = current_program()
    return program is not None and program.loader is not None


class _Unpickler(pickle.Unpickler):
    """The C unpickler, which asks here for what the stream names."""

    def find_class(self, module: str, name: str) -> object:
        """The object of that name in the program's own module, if it has one of that name."""
        program = current_program()
        loader = None if program is None else cast("Loader | None", program.loader)
        if loader is None or not (module in loader.modules or loader.owns(module)):
            return super().find_class(module, name)
        sys.audit("pickle.find_class", module, name)
        return reduce(getattr, name.split("."), loader.load(module))


def dumps(real: Real, obj: object, protocol: int | None = None, **options: object) -> object:
    """pickle.dumps: what the C pickler cannot find, the one in Python finds through `sys.modules`."""
    if not _has_own_modules():
        return real(obj, protocol, **options)
    try:
        return real(obj, protocol, **options)
    except (pickle.PicklingError, AttributeError, ImportError):
        return cast(Real, pickle._dumps)(obj, protocol, **options)  # type: ignore[attr-defined]


def dump(real: Real, obj: object, file: _Sink, protocol: int | None = None, **options: object) -> object:
    """pickle.dump."""
    if not _has_own_modules():
        return real(obj, file, protocol, **options)
    file.write(cast(bytes, dumps(_real_dumps, obj, protocol, **options)))
    return None


def loads(real: Real, data: ReadableBuffer, /, **options: object) -> object:
    """pickle.loads."""
    if not _has_own_modules():
        return real(data, **options)
    return _Unpickler(io.BytesIO(data), **options).load()  # type: ignore[arg-type]


def load(real: Real, file: object, **options: object) -> object:
    """pickle.load."""
    if not _has_own_modules():
        return real(file, **options)
    return _Unpickler(file, **options).load()  # type: ignore[arg-type]


_real_dumps: Real = pickle.dumps


def add(patcher: Patcher) -> None:
    """Replace the four functions."""
    for function in (dumps, dump, loads, load):
        patcher.function(pickle, function.__name__, function)
