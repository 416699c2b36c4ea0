"""Replaces functions and types wherever a loaded module holds them, and puts every one back.

A replacement is put where its original is found by identity: in the globals of every loaded module (`from time import
sleep`), in class attributes and in the defaults of functions. Modules are looked through once; later runs look at new
ones only. Methods of C types are replaced in the type itself, so that objects and classes keep their identity.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, MethodType, ModuleType
from typing import Final, cast

_ABSENT: Final = object()

_OWN: Final = "portside.runtime"  # its modules hold originals on purpose

Put = Callable[[object], None]


def dispatcher(function: Callable[..., object], original: object) -> MethodType:
    """The callable that stands for `original`: it calls `function(original, *arguments)`.

    A bound method, because like a builtin it is not bound again when it is found in a class.
    """
    return MethodType(function, original)


class Patcher:
    """A set of replacements that goes in and comes out as a whole."""

    def __init__(self) -> None:
        self._pairs: list[tuple[object, object]] = []  # original, replacement; both are held, so ids stay theirs
        self._to_new: dict[int, object] = {}  # id of an original -> its replacement
        self._to_old: dict[int, object] = {}
        self._sites: dict[tuple[int, str, int], tuple[Put, Callable[[], object], int]] = {}
        self._seen: dict[int, ModuleType] = {}  # modules that were looked through, by id; held, so ids stay theirs
        self._set: list[tuple[object, str, object]] = []  # class and module attributes: owner, name, value
        self._late: list[Callable[[], list[tuple[object, str, object]]]] = []
        self._awaited: dict[str, Callable[[ModuleType], None]] = {}
        self._hooks: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._methods: list[tuple[type, str, object]] = []  # of C types
        self._undo: list[Callable[[], None]] = []
        self.installed = False

    # -- what to replace --

    def function(self, module: ModuleType, name: str, function: Callable[..., object]) -> None:
        """Let `function(original, *arguments)` answer for a builtin, wherever one of that name is held."""
        original = getattr(module, name, _ABSENT)
        if original is not _ABSENT:
            self.value(original, self._to_new.get(id(original)) or dispatcher(function, original))

    def value(self, original: object, replacement: object) -> None:
        """Let `replacement` stand for `original` wherever that is held."""
        if id(original) not in self._to_new:
            self._pairs.append((original, replacement))
            self._to_new[id(original)] = replacement
            self._to_old[id(replacement)] = original

    def replacements(self, originals: Iterable[object]) -> list[object]:
        """What stands for those of `originals` that are replaced."""
        return [self._to_new[id(original)] for original in originals if id(original) in self._to_new]

    def attribute(self, owner: object, name: str, value: object) -> None:
        """Set one attribute of a class or module, in that place only."""
        self._set.append((owner, name, value))

    def attributes(self, find: Callable[[], list[tuple[object, str, object]]]) -> None:
        """Set attributes that are known only when the replacements go in: owner, name, value."""
        self._late.append(find)

    def when_loaded(self, name: str, put_in: Callable[[ModuleType], None]) -> None:
        """Replace what depends on a module that programs may do without.

        `put_in(module)` is called when the replacements go in, or when the module is first imported meanwhile. It calls
        `put` and `enter`.
        """
        self._awaited[name] = put_in

    def hook(self, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        """Call `enter()` when the replacements go in and `leave()` when they come out."""
        self._hooks.append((enter, leave))

    def method(self, owner: type, name: str, function: Callable[..., object]) -> Callable[..., object]:
        """Let `function(self, ...)` be a method of a C type; the original method is returned, unbound."""
        original = owner.__dict__[name]
        self._methods.append((owner, name, function))
        return original  # type: ignore[no-any-return]

    # -- in and out --

    def install(self) -> None:
        """Put every replacement in. What fails half way is taken out again."""
        self.installed = True
        try:
            for owner, name, value in self._set:
                self.put(owner, name, value)
            for find in self._late:
                for owner, name, value in find():
                    self.put(owner, name, value)
            self._watch_imports()
            for enter, leave in self._hooks:
                self.enter(enter, leave)
            for kind, name, value in self._methods:
                self._set_method(kind, name, value)
            self._look()
            for put, get, key in self._sites.values():
                if id(get()) == key:
                    put(self._to_new[key])
        except BaseException:
            self.restore()
            raise

    def restore(self) -> None:
        """Put every original back, also where a module loaded meanwhile holds a replacement."""
        self.installed = False
        self._look()
        for put, get, key in self._sites.values():
            if get() is self._to_new[key]:
                put(self._original(key))
        while self._undo:
            self._undo.pop()()

    def _original(self, key: int) -> object:
        return self._to_old[id(self._to_new[key])]

    def put(self, owner: object, name: str, value: object) -> None:
        """Set one attribute now, until the replacements come out."""
        own = vars(owner)
        if name in own:
            old = own[name]
            self._undo.append(lambda: setattr(owner, name, old))
        else:
            self._undo.append(lambda: delattr(owner, name))
        setattr(owner, name, value)

    def enter(self, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        """Call `enter()` now and `leave()` when the replacements come out."""
        enter()
        self._undo.append(leave)

    def _watch_imports(self) -> None:
        """Find the modules of `when_loaded`, and those that are not loaded yet when they are."""
        for name in self._awaited:
            if name in sys.modules:
                self._loaded(sys.modules[name])
        watch = _ImportWatch(self._awaited, self._loaded)
        sys.meta_path.insert(0, watch)
        self._undo.append(lambda: sys.meta_path.remove(watch))

    def _loaded(self, module: ModuleType) -> None:
        if self.installed:
            self._awaited[module.__name__](module)

    def _set_method(self, owner: type, name: str, value: object) -> None:
        old = owner.__dict__[name]
        _write(owner, name, value)
        self._undo.append(lambda: _write(owner, name, old))

    # -- where --

    def _look(self) -> None:
        """Find the places in modules that were not looked through yet."""
        for module in list(sys.modules.values()):
            if type(getattr(module, "__dict__", None)) is not dict or module.__name__.startswith(_OWN):
                continue
            known = self._seen.get(id(module))
            if known is not module:
                self._look_through(module)
                spec = getattr(module, "__spec__", None)
                if not getattr(spec, "_initializing", False) and module.__name__ != "__main__":
                    self._seen[id(module)] = module

    def _look_through(self, module: ModuleType) -> None:
        namespace = module.__dict__
        for name, value in list(namespace.items()):
            self._note(module, name, value, namespace.__setitem__, namespace.get)
            if type(value) is FunctionType:
                self._defaults(value)
            # Not isinstance(): a lazy object that a module holds would be made by the question (`__class__`).
            elif issubclass(type(value), type) and getattr(value, "__module__", None) == module.__name__:
                self._class(value)

    def _class(self, owner: type) -> None:
        for name, value in list(owner.__dict__.items()):
            if id(value) in self._to_new or id(value) in self._to_old:
                self._note(owner, name, value, _setter(owner), owner.__dict__.get)
            elif type(value) is staticmethod:  # glob's scandir, from Python 3.13 on
                self._note(owner, name, value.__func__, _static_setter(owner), _static_getter(owner))
            elif type(value) is FunctionType:
                self._defaults(value)

    def _defaults(self, function: FunctionType) -> None:
        for name, values in (("__defaults__", function.__defaults__), ("__kwdefaults__", function.__kwdefaults__)):
            for value in values.values() if isinstance(values, dict) else values or ():
                if id(value) in self._to_new or id(value) in self._to_old:
                    self._note_default(function, name, value)

    def _note(
        self, owner: object, name: str, value: object, put: Callable[[str, object], None],
        get: Callable[[str], object],
    ) -> None:  # fmt: skip
        key = self._key(value)
        if key is not None and owner is not self:
            self._sites[id(owner), name, key] = (lambda new: put(name, new)), (lambda: get(name)), key

    def _note_default(self, function: FunctionType, name: str, value: object) -> None:
        key = self._key(value)
        if key is None:
            return
        old, new = self._original(key), self._to_new[key]

        def current() -> Iterator[object]:
            values = getattr(function, name) or ()
            return iter(values.values() if isinstance(values, dict) else values)

        def get() -> object:
            return next((value for value in current() if value is old or value is new), None)

        def put(wanted: object) -> None:
            values = getattr(function, name)
            if isinstance(values, dict):
                function.__kwdefaults__ = {
                    key: wanted if value is old or value is new else value for key, value in values.items()
                }
            else:
                function.__defaults__ = tuple(wanted if value is old or value is new else value for value in values)

        self._sites[id(function), name, key] = put, get, key

    def _key(self, value: object) -> int | None:
        """The id of the original that `value` is or stands for."""
        if id(value) in self._to_new:
            return id(value)
        original = self._to_old.get(id(value), _ABSENT)
        return None if original is _ABSENT else id(original)


class _ImportWatch(MetaPathFinder):
    """Finds nothing itself: sees modules of some names being imported, and says so once they are."""

    def __init__(self, names: Container[str], loaded: Callable[[ModuleType], None]) -> None:
        self._names = names
        self._loaded = loaded

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """What the other finders find; its loader will tell."""
        if name not in self._names:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                self._wait_for(spec.loader)
                return spec
        return None

    def _wait_for(self, loader: object) -> None:
        execute: Callable[[ModuleType], None] = loader.exec_module  # type: ignore[attr-defined]

        def execute_and_tell(module: ModuleType) -> None:
            del loader.exec_module  # type: ignore[attr-defined]  # the loader is this module's own
            execute(module)
            self._loaded(module)

        loader.exec_module = execute_and_tell  # type: ignore[attr-defined]


def _static_setter(owner: type) -> Callable[[str, object], None]:
    return lambda name, value: setattr(owner, name, staticmethod(cast("Callable[..., object]", value)))


def _static_getter(owner: type) -> Callable[[str], object]:
    return lambda name: getattr(owner.__dict__.get(name), "__func__", None)


def _setter(owner: type) -> Callable[[str, object], None]:
    def put(name: str, value: object) -> None:
        with suppress(TypeError):  # a C type, which names no function of ours that a program could reach otherwise
            setattr(owner, name, value)

    return put


def _write(owner: type, name: str, value: object) -> None:
    """Write into the dictionary of a type that is immutable from Python, and let the interpreter's caches know."""
    (namespace,) = [found for found in gc.get_referents(owner.__dict__) if type(found) is dict]
    namespace[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(owner))
