from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.host.fds import FdTable
from portside.host.file import File
from portside.host.syscalls import files


class Noted(File):
    """A file that says when it is released."""

    __slots__ = ("log", "name")

    def __init__(self, name="file", log=None):
        super().__init__()
        self.name = name
        self.log = log if log is not None else []

    def release(self):
        self.log.append(self.name)


def test_a_file_is_released_with_its_last_descriptor():
    table, file = FdTable(), Noted()
    first = table.install(file)
    second = table.dup(first)
    table.close(first)
    assert file.log == []
    table.close(second)
    assert file.log == ["file"]
    with pytest.raises(OSError, match="Bad file descriptor"):
        table.close(second)


def test_dup2_closes_what_was_there():
    table, log = FdTable(), []
    one, two = table.install(Noted("one", log)), table.install(Noted("two", log))
    assert table.dup2(one, two) == two
    assert log == ["two"]
    assert table.dup2(one, one) == one
    with pytest.raises(OSError, match="Invalid argument"):
        table.dup3(one, one)
    for new in (-1, 1024):
        with pytest.raises(OSError, match="Bad file descriptor"):
            table.dup2(one, new)
    table.close_all()
    assert log == ["two", "one"]


def test_all_are_closed_in_ascending_order():
    table, log = FdTable(), []
    for name in "abc":
        table.install(Noted(name, log))
    table.dup2(0, 100)
    table.close(0)
    table.install(Noted("d", log))
    table.close_all()
    assert log == ["d", "b", "c", "a"]
    assert len(table) == 0


def test_f_dupfd_and_close_on_exec():
    table = FdTable(soft_limit=5)
    fd = table.install(Noted(), True)
    assert table.cloexec == {0}
    assert table.dup_from(fd, 3) == 3
    assert table.dup_from(fd, 3, True) == 4
    assert table.cloexec == {0, 4}
    with pytest.raises(OSError, match="Too many open files"):
        table.dup_from(fd, 3)
    for lowest in (-1, 5):
        with pytest.raises(OSError, match="Invalid argument"):
            table.dup_from(fd, lowest)
    table.dup2(3, 4)
    assert table.cloexec == {0}


def test_a_full_table_has_room_again():
    table = FdTable(soft_limit=3)
    for _ in range(3):
        table.install(Noted())
    with pytest.raises(OSError, match="Too many open files"):
        table.install(Noted())
    table.close(1)
    assert table.install(Noted()) == 1


def test_opening_and_closing_for_ever_takes_no_room():
    table, file = FdTable(), Noted()
    table.install(file)
    for _ in range(1000):
        table.dup2(0, 10)
        table.close(10)
        table.close(table.dup(0))
        table.close(table.dup_from(0, 20))
    assert len(table._free) < 20


steps = st.lists(
    st.one_of(
        st.tuples(st.just("open")), st.tuples(st.just("close"), st.integers(0, 12)),
        st.tuples(st.just("dup2"), st.integers(0, 12), st.integers(0, 20)),
        st.tuples(st.just("from"), st.integers(0, 12), st.integers(0, 20)),
    ),
    max_size=60,
)  # fmt: skip


@given(steps)
def test_a_new_descriptor_is_the_lowest_free_one(dialogue):
    table, model = FdTable(), set()
    for name, *arguments in dialogue:
        if name == "open":
            lowest = next(number for number in range(100) if number not in model)
            assert table.install(Noted()) == lowest
            model.add(lowest)
        elif arguments[0] not in model:
            with pytest.raises(OSError, match="Bad file descriptor"):
                table.get(arguments[0])
        elif name == "close":
            table.close(arguments[0])
            model.remove(arguments[0])
        elif name == "dup2":
            table.dup2(*arguments)
            model.add(arguments[1])
        else:
            lowest = next(number for number in range(arguments[1], 100) if number not in model)
            assert table.dup_from(*arguments) == lowest
            model.add(lowest)
    assert set(table.open) == model
    assert all(file.references == list(table.open.values()).count(file) for file in table.open.values())


def test_blocking_mode_is_the_files_and_not_the_descriptors():
    from kernel_objects import FakeHost

    process = FakeHost().processes.create("test")
    reader, writer = files.pipe2(process)
    other = files.dup(process, reader)
    files.set_blocking(process, reader, False)
    assert not files.get_blocking(process, other)
    assert files.get_blocking(process, writer)
    files.set_inheritable(process, other, False)
    assert (files.get_inheritable(process, reader), files.get_inheritable(process, other)) == (True, False)
    assert files.fcntl(process, other, files.F_GETFD) == 1
    assert files.ioctl(process, reader, files.FIONBIO, 0) == 0
    assert files.get_blocking(process, other)
    assert [files.kind(process, fd) for fd in (0, 1, reader)] == [files.S_IFCHR, files.S_IFIFO, files.S_IFIFO]
