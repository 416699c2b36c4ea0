"""Unmodified Python programs on a simulated host.

The border is where CPython's C modules meet the kernel. While a world runs, each function and type there is replaced in
place by one that looks at the current greenlet: a simulated task is answered by its host, everything else by the
original. The standard library above the border stays the interpreter's own.

* `trap` knows who calls: the task, its process, its world.
* `patcher` replaces, everywhere, and puts back.
* `arguments`, `sockaddr` and `names` take what a program gives as CPython's C does, with its errors.
* `patches/` has a file for each module replaced; `escapes` refuses what would leave the world.
* `programs` makes the bodies of tasks from functions, scripts, modules and code; `loader` keeps their modules apart.
"""
