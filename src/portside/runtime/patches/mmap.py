"""`mmap`: memory of a program's own, and files of the real disk, by the descriptor that the simulated process has."""

from __future__ import annotations

import errno
import mmap

from portside.host.errors import fail
from portside.host.processes import Process
from portside.runtime.escapes import Guarded
from portside.runtime.patcher import Patcher
from portside.runtime.real_file import RealFile
from portside.runtime.trap import current_process


class Mapping(Guarded):
    """Stands for `mmap.mmap`."""

    __slots__ = ()

    def __call__(self, *arguments: object, **keywords: object) -> object:
        """Map memory (`fileno` -1) or a file. ENODEV for what is no file of the real disk."""
        process = current_process()
        if process is not None:
            fileno, *others = arguments or (keywords.pop("fileno", None),)
            if isinstance(fileno, int) and fileno != -1:
                fileno = _real(process, fileno)
            arguments = (fileno, *others)
        return self._real(*arguments, **keywords)


def _real(process: Process, fd: int) -> int:
    file = process.files.get(fd)
    if not isinstance(file, RealFile):
        raise fail(errno.ENODEV)
    return file.fd


def add(patcher: Patcher) -> None:
    """Replace the type."""
    patcher.value(mmap.mmap, Mapping(mmap.mmap, "mmap.mmap", ""))
