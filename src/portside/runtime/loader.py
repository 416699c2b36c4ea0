"""Modules that belong to one program: what stands beside its script, or on paths that it adds to `sys.path`.

Each simulated process imports those for itself, so that the same script or package started twice has its own globals
each time. The standard library and installed packages are shared between all programs and the code outside.

The import statement calls `builtins.__import__`, which is replaced for the run; what the program does not own goes to
the original. `sys.modules` and `sys.path`, as a program sees them, hold its own entries over the shared ones.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from importlib import _bootstrap_external
from importlib.machinery import ModuleSpec, PathFinder
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Final, cast

from greenlet import getcurrent

from portside.host.file import Blocked
from portside.runtime import extensions, waiting
from portside.runtime.patcher import Patcher
from portside.runtime.program import Program, current_program
from portside.runtime.trap import outside
from portside.sim.scheduler import Task

_IMPORT: Final = Blocked("waiting for another thread's import")
_SHARED_PATH: Final = sys.path
_SHARED: Final = sys.modules
_NEVER_OWN: Final = frozenset({*sys.builtin_module_names, "builtins", "importlib", "portside", "sys"})

Namespace = Mapping[str, object]
_LAST: Final = (ModuleType, FunctionType, BuiltinFunctionType, type)
"""What the end of other things may need, and is forgotten after them."""


class Modules(MutableMapping[str, ModuleType]):
    """`sys.modules` as a program sees it: its own modules over the shared ones."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getitem__(self, name: str) -> ModuleType:
        own = self._loader.modules
        return own[name] if name in own else _SHARED[name]

    def __setitem__(self, name: str, module: ModuleType) -> None:
        (self._loader.modules if self._loader.owns(name) else _SHARED)[name] = module

    def __delitem__(self, name: str) -> None:
        own = self._loader.modules
        del (own if name in own else _SHARED)[name]

    def __iter__(self) -> Iterator[str]:
        own = self._loader.modules
        yield from list(own)
        yield from [name for name in list(_SHARED) if name not in own]

    def __len__(self) -> int:
        return len(set(self._loader.modules) | set(_SHARED))

    def __contains__(self, name: object) -> bool:
        return name in self._loader.modules or name in _SHARED

    def copy(self) -> dict[str, ModuleType]:
        """A dict of the same content."""
        return dict(self)


class Loader:
    """The modules of one program. `paths` are its own directories; `path` is what it sees as `sys.path`."""

    __slots__ = ("_importing", "_outside", "_owned", "modules", "path", "paths", "view")

    def __init__(self, paths: Sequence[str], leading: Sequence[str] | None = None) -> None:
        self.paths = [path or "." for path in paths]
        self.path: list[str] = [*(paths if leading is None else leading), *_SHARED_PATH]
        self.modules: dict[str, ModuleType] = {}
        self.view = Modules(self)
        self._owned: dict[str, tuple[tuple[str, ...], bool]] = {}  # by top-level name: decided for which paths
        self._importing: dict[str, tuple[Task, object]] = {}
        self._outside = 0  # shared imports under way: they see the shared path

    def search(self) -> list[str]:
        """Where the program's own modules are looked for."""
        added = [path for path in self.path if isinstance(path, str) and path not in _SHARED_PATH]
        return list(dict.fromkeys([*self.paths, *(path or "." for path in added)]))

    def visible_path(self) -> list[str]:
        """`sys.path`: the program's, but for a shared module that is being imported the shared one."""
        return _SHARED_PATH if self._outside else self.path

    def owns(self, name: str) -> bool:
        """Whether the module of that dotted name is the program's own."""
        top = name.partition(".")[0]
        if name in self.modules or top in self.modules:
            return True
        if top in _NEVER_OWN or top == "__main__":
            return False
        paths = tuple(self.search())
        known = self._owned.get(top)
        if known is None or known[0] != paths:
            known = self._owned[top] = paths, self._found_in(top, paths)
        return known[1]

    def _found_in(self, top: str, paths: tuple[str, ...]) -> bool:
        spec = PathFinder.find_spec(top, list(paths))
        if spec is None:
            return False
        if spec.loader is not None and spec.origin is not None:
            return True
        # A directory without __init__.py gives way to a package elsewhere on the path (PEP 420).
        shared = PathFinder.find_spec(top, _SHARED_PATH) if top not in _SHARED else _SHARED[top].__spec__
        return shared is None or shared.loader is None

    def load(self, name: str) -> ModuleType:
        """The program's own module of that absolute name, imported if it is not there yet. Raises ImportError."""
        module = self.modules.get(name)
        if module is not None and name not in self._importing:
            return module
        if name in self._importing:
            return self._wait_for(name)
        parent, _, child = name.rpartition(".")
        spec = self._spec(name, parent)
        module = importlib.util.module_from_spec(spec)
        self.modules[name] = module
        self._execute(name, spec, module)
        module = self.modules[name]  # it may have put something else in its place
        if parent:
            setattr(self.modules[parent], child, module)
        return module

    def _spec(self, name: str, parent: str) -> ModuleSpec:
        search: Sequence[str] = self.search()
        if parent:
            package = self.load(parent)
            path = getattr(package, "__path__", None)
            if path is None:
                words = f"No module named {name!r}; {parent!r} is not a package"
                raise ModuleNotFoundError(words, name=name)
            search = list(path)
        spec = PathFinder.find_spec(name, search)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return spec

    def _execute(self, name: str, spec: ModuleSpec, module: ModuleType) -> None:
        done = object()
        self._importing[name] = cast(Task, getcurrent()), done
        spec._initializing = True  # type: ignore[attr-defined]
        try:
            if spec.loader is not None:  # a namespace package has nothing to run
                spec.loader.exec_module(module)
        except BaseException:
            self.modules.pop(name, None)
            raise
        finally:
            spec._initializing = False  # type: ignore[attr-defined]
            del self._importing[name]
            while waiting.wake_next(done) is not None:
                pass

    def _wait_for(self, name: str) -> ModuleType:
        """Another thread imports it, or this one does (a circular import, which sees what is there so far)."""
        task, done = self._importing[name]
        current = cast(Task, getcurrent())
        if task is not current:
            waiting.wait(current, done, None, _IMPORT)
        return self.load(name) if name not in self.modules or name not in self._importing else self.modules[name]

    def take(self, module: ModuleType, names: Sequence[str]) -> None:
        """Import those of `names` that are submodules of a package (`from package import module`)."""
        for item in names:
            if item == "*":
                self.take(module, [name for name in getattr(module, "__all__", ()) if name != "*"])
            elif not hasattr(module, item):
                full = f"{module.__name__}.{item}"
                try:
                    self.load(full)
                except ModuleNotFoundError as error:
                    if error.name != full:
                        raise

    def forget_modules(self) -> None:
        """Let go of what the program's own modules hold, the last imported and the last named first.

        What nothing else holds is destroyed: files are written out and closed, `__del__` is called, and finds what its
        module had when it was made. The interpreter reaches that by its collector (finalize_modules).
        """
        own = [module for name, module in self.modules.items() if module is not _SHARED.get(name)]
        for kept in (_LAST, ()):
            for module in reversed(own):
                names = getattr(module, "__dict__", {})
                for name in reversed(list(names)):
                    if name[:2] != "__" and not isinstance(names.get(name), kept):
                        names[name] = None

    def shared(self, call: Callable[[], object]) -> object:
        """Import a module that is not the program's own."""
        self._outside += 1
        try:
            return call()
        finally:
            self._outside -= 1


def loader_of(program: Program) -> Loader:
    """The loader of a program; one that was started as a function has no directory of its own."""
    loader = program.loader
    if loader is None:
        loader = program.loader = Loader([])
    return cast(Loader, loader)


def _is_shared(namespace: Namespace | None) -> bool:
    """Whether an import statement stands in a shared module."""
    if namespace is None:
        return False
    name = namespace.get("__name__")
    module = _SHARED.get(name) if isinstance(name, str) else None
    return module is not None and module.__dict__ is namespace


def _package(namespace: Namespace) -> str:
    """The package that a relative import starts from (importlib._bootstrap._calc___package__)."""
    package = namespace.get("__package__")
    if isinstance(package, str):
        return package
    spec = namespace.get("__spec__")
    if isinstance(spec, ModuleSpec):
        return spec.parent or ""
    name = cast(str, namespace["__name__"])
    return name if "__path__" in namespace else name.rpartition(".")[0]


def refuse_escape(program: Program, name: str) -> None:
    """Raise EscapeImportError where a program imports a module by which it would leave the world, and not its own."""
    if name.partition(".")[0] not in extensions.IMPORTS:
        return
    if program.loader is None or not loader_of(program).owns(name):
        raise extensions.refused_import(name)


def import_name(
    real: Callable[..., object], name: str, globals: Namespace | None = None, locals: Namespace | None = None,
    fromlist: Sequence[str] | None = (), level: int = 0,
) -> object:  # fmt: skip
    """builtins.__import__: the program's own modules from its own table, the rest as ever."""
    program = current_program()
    if program is not None and not level:
        refuse_escape(program, name)
    if program is None or program.loader is None:
        return real(name, globals, locals, fromlist, level)
    loader = loader_of(program)
    if not level and name in _SHARED and name not in loader.modules and not loader.owns(name):
        return real(name, globals, locals, fromlist, level)
    if _is_shared(globals):
        return loader.shared(lambda: real(name, globals, locals, fromlist, level))
    absolute = name
    if level and globals is not None:
        package = _package(globals)
        if not package:
            return real(name, globals, locals, fromlist, level)  # the original has the words for it
        absolute = importlib.util.resolve_name("." * level + name, package)
    if absolute == "__main__" and "__main__" in loader.modules:
        return loader.modules["__main__"]
    if not loader.owns(absolute):
        return loader.shared(lambda: real(name, globals, locals, fromlist, level))
    module = loader.load(absolute)
    if fromlist:
        if hasattr(module, "__path__"):
            loader.take(module, fromlist)
        return module
    if level and name:
        return loader.modules[absolute[: len(absolute) - len(name) + len(name.partition(".")[0])]]
    return loader.modules[absolute.partition(".")[0]] if not level else module


def import_module(real: Callable[..., object], name: str, package: str | None = None) -> object:
    """importlib.import_module."""
    program = current_program()
    if program is None:
        return real(name, package)
    absolute = importlib.util.resolve_name(name, package) if name.startswith(".") and package else name
    refuse_escape(program, absolute)
    if program.loader is None:
        return real(name, package)
    loader = loader_of(program)
    if absolute in loader.modules or loader.owns(absolute):
        return loader.load(absolute)
    return loader.shared(lambda: real(name, package))


def reload(real: Callable[..., object], module: ModuleType) -> object:
    """importlib.reload: run the module again in the same namespace."""
    program = current_program()
    spec = getattr(module, "__spec__", None)
    if program is None or spec is None or loader_of(program).modules.get(spec.name) is not module:
        return real(module)
    spec.loader.exec_module(module)
    return module


def write_atomic(real: Callable[..., object], *arguments: object) -> object:
    """What the import system keeps of a compiled module: it writes through a descriptor of the real machine."""
    return outside(real, *arguments) if type(getcurrent()) is Task else real(*arguments)


def add(patcher: Patcher) -> None:
    """Replace the ways by which code imports."""
    patcher.function(_bootstrap_external, "_write_atomic", write_atomic)
    patcher.function(builtins, "__import__", import_name)
    patcher.function(importlib, "import_module", import_module)
    patcher.function(importlib, "reload", reload)
