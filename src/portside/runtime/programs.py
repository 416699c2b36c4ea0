"""Bodies of tasks: how a simulated process runs a function, a script, a module or a piece of code, and ends.

What CPython does around a program is done here: its own `__main__`, `sys.argv` and streams, the exit status, the
message of SystemExit, the traceback (of the program's frames), the wait for threads that are no daemons, atexit.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib.machinery import BuiltinImporter, ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Final, cast

from greenlet import getcurrent

from portside.host.processes import ProcessExit, broken_pipe
from portside.runtime.loader import Loader, import_name
from portside.runtime.patches.signal import signals_of
from portside.runtime.patches.thread import ENDINGS, end_of_thread
from portside.runtime.patches.threading import begin_main_thread, join_all
from portside.runtime.program import Program, program_of
from portside.runtime.raw import standard_streams
from portside.runtime.report import print_exception, strip_all
from portside.runtime.socket_files import give_disk
from portside.runtime.trap import outside
from portside.sim.scheduler import Task

if TYPE_CHECKING:
    from portside.host.processes import Process

SIGINT: Final = 2


def _put_out(process: Process, sink: Callable[[bytes], object], data: bytes) -> None:
    """Let what a program writes reach whoever reads it on the real machine; SIGPIPE, too, when nobody does any more."""
    try:
        outside(sink, data)
    except BrokenPipeError:
        raise broken_pipe(process.host.world) from None


class Body:
    """What a simulated process does from start to end; called once, in its main task.

    Afterwards `result` is what a function returned, `exception` what the program let out, `exit_status` its status (the
    process has it too).
    """

    __slots__ = ("_argv", "_main", "_paths", "exception", "exit_status", "process", "result")

    def __init__(
        self, process: Process, main: Callable[[Program], object], argv: Sequence[str], paths: Sequence[str] | None
    ) -> None:
        self.process = process
        self.result: object = None
        self.exception: BaseException | None = None
        self.exit_status: int | None = None
        self._main = main
        self._argv = list(argv)
        self._paths = paths

    def __call__(self) -> None:
        """Run the program, and end the process as the interpreter does."""
        process = self.process
        task = cast(Task, getcurrent())
        if not process.alive:
            return
        process.tasks.append(task)
        program = self._begin(task)
        try:
            status = self._run(program)
            status = self._finish(program, status)
            process.exit(status)
        except ENDINGS:
            process.exit(1)  # no effect on a process that has been ended: its status stays
        except BaseException:
            if process.alive:
                raise
        finally:
            self.exit_status = process.exit_status
            end_of_thread(task)

    def _begin(self, task: Task) -> Program:
        program = program_of(self.process)
        for output in (self.process.stdout, self.process.stderr):
            if output.sink is not None:
                output.sink = partial(_put_out, self.process, output.sink)
        values = program.values
        values.update(standard_streams(self.process))
        values.update({f"__{name}__": values[name] for name in ("stdin", "stdout", "stderr")})
        values["argv"] = self._argv
        if self._paths is not None:
            loader = program.loader = Loader(self._paths)
            values["path"] = loader.visible_path
            values["modules"] = loader.view
        begin_main_thread(program, task)
        signals_of(self.process)
        give_disk(self.process.host)
        return program

    def _run(self, program: Program) -> int:
        try:
            self.result = self._main(program)
        except SystemExit as stop:
            return exit_status(stop)
        except ENDINGS:
            raise
        except BaseException as error:
            if not self.process.alive:  # what it does when it is ended is of no interest
                raise
            return self._failed(program, error)
        return 0

    def _failed(self, program: Program, error: BaseException) -> int:
        self.exception = error
        strip_all(error)
        hook = program.values.get("excepthook")
        if callable(hook):
            hook(type(error), error, error.__traceback__)
        else:
            print_exception(error)
        return 128 + SIGINT if isinstance(error, KeyboardInterrupt) else 1

    def _finish(self, program: Program, status: int) -> int:
        """Py_FinalizeEx: threads, atexit, streams, modules, and what is open still."""
        for step in (join_all, run_atexit):
            try:
                step(program)
            except SystemExit as stop:
                status = exit_status(stop)
            except ENDINGS:
                raise
            except BaseException as error:
                print_exception(error, "Exception ignored in atexit callback:")
        status = self._flush(program, status)
        program.ending = True
        if program.loader is not None:
            cast(Loader, program.loader).forget_modules()
        for writer in list(program.writers.values()):
            with suppress(OSError, ValueError):  # as a buffer that is deallocated says nothing of what it can't write
                writer.flush()
        return self._flush(program, status)

    @staticmethod
    def _flush(program: Program, status: int) -> int:
        for name in ("stdout", "__stdout__", "stderr", "__stderr__"):
            stream = program.stream(name)
            if stream is not None:
                try:
                    stream.flush()
                except (OSError, ValueError):
                    status = status or 120
        return status


def exit_status(stop: SystemExit) -> int:
    """The status of a program that ends by SystemExit: its code; a message is printed and gives 1 (sys.exit)."""
    code = stop.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    if sys.stderr is not None:
        print(code, file=sys.stderr)
    return 1


def run_atexit(program: Program) -> None:
    """Call what the program registered with `atexit`, the last first; an error is told and the rest goes on."""
    while program.atexit:
        function, args, kwargs = program.atexit.pop()
        try:
            function(*args, **kwargs)
        except ENDINGS:
            raise
        except BaseException as error:
            if not isinstance(error, SystemExit):
                print_exception(error, f"Exception ignored in atexit callback: {function!r}")


def function(
    process: Process, call: Callable[..., object], args: Sequence[object] = (), kwargs: dict[str, object] | None = None
) -> Body:
    """A body that calls a function. It shares the modules of the code that made it."""
    from portside.runtime.installation import as_a_program_has_it

    # The caller took it from a module before the border went up: os.kill must not reach the real machine.
    simulated = cast("Callable[..., object]", as_a_program_has_it(call))

    def main(_: Program) -> object:
        return simulated(*args, **(kwargs or {}))

    return Body(process, main, process.argv, None)


def script(process: Process, path: str, argv: Sequence[str] = (), paths: Sequence[str] = ()) -> Body:
    """A body that runs a file as `python path argv...` does; a directory is run by its `__main__.py`.

    Modules beside the script, and under further project `paths`, are the process's own.
    """
    path = os.fspath(path)
    place = os.path.join(os.getcwd(), path)  # not made any simpler: _Py_abspath() of CPython, since 3.9
    whole = os.path.isdir(place)
    file = os.path.join(place, "__main__.py") if whole else place
    directory = place if whole else os.path.dirname(os.path.realpath(place))

    def main(program: Program) -> object:
        with io.open_code(file) as source:
            text = source.read()
        spec = importlib.util.spec_from_file_location("__main__", file) if whole else None
        return run_main(program, compile(text, file, "exec", dont_inherit=True), file, spec)

    return Body(process, main, [path, *argv], [directory, *paths])


def module(process: Process, name: str, argv: Sequence[str] = (), paths: Sequence[str] = ()) -> Body:
    """A body that runs a module as `python -m name argv...` does. Modules of the current directory are its own."""

    def main(program: Program) -> object:
        loader = cast(Loader, program.loader)
        spec = find_main(loader, name)
        cast("list[str]", program.values["argv"])[0] = spec.origin or name
        code = cast(SourceFileLoader, spec.loader).get_code(spec.name)
        if code is None:
            raise ImportError(f"No code object available for {name}")
        return run_main(program, code, spec.origin, spec)

    return Body(process, main, ["-m", *argv], [os.getcwd(), *paths])


def code(process: Process, source: str, argv: Sequence[str] = (), paths: Sequence[str] = ()) -> Body:
    """A body that runs a program given as text, as `python -c source argv...` does."""

    def main(program: Program) -> object:
        text = compile(source, "<string>", "exec", dont_inherit=True)
        program.source = source
        return run_main(program, text, None, None)

    return Body(process, main, ["-c", *argv], ["", *paths])


def find_main(loader: Loader, name: str) -> ModuleSpec:
    """The module to run for `-m name`: a package's `__main__`. SystemExit says that there is none."""
    try:
        spec = find_spec(loader, name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = find_spec(loader, f"{name}.__main__") or spec
    except ImportError as error:
        raise SystemExit(
            f"{sys.executable}: Error while finding module specification for {name!r} ({type(error).__name__}: {error})"
        ) from None
    if spec is None:
        raise SystemExit(f"{sys.executable}: No module named {name}")
    if spec.submodule_search_locations is not None:
        raise SystemExit(
            f"{sys.executable}: No module named {name}.__main__; {name!r} is a package and cannot be directly executed"
        )
    return spec


def find_spec(loader: Loader, name: str) -> ModuleSpec | None:
    """The spec of a module, the program's own or a shared one, with its parents imported."""
    if not loader.owns(name):
        return importlib.util.find_spec(name)
    parent = name.rpartition(".")[0]
    path = list(loader.load(parent).__path__) if parent else loader.search()
    return importlib.machinery.PathFinder.find_spec(name, path)


def run_main(program: Program, code: CodeType, file: str | None, spec: ModuleSpec | None) -> object:
    """Execute code as the program's `__main__`."""
    main = ModuleType("__main__")
    namespace = main.__dict__
    namespace["__builtins__"] = builtins
    namespace["__annotations__"] = {}
    namespace["__spec__"] = spec
    if spec is not None:
        namespace["__package__"] = spec.parent
        namespace["__loader__"] = spec.loader
        namespace["__cached__"] = spec.cached
    elif file is not None:
        namespace["__loader__"] = SourceFileLoader("__main__", file)
    else:
        namespace["__loader__"] = BuiltinImporter
    if file is not None:
        namespace["__file__"] = file
        namespace.setdefault("__cached__", None)
    cast(Loader, program.loader).modules["__main__"] = main
    exec(code, namespace)
    return None


__all__ = ["Body", "ProcessExit", "code", "function", "import_name", "module", "script"]
