"""Extension modules with sockets of their own are refused by name; stand-ins are enough to see how."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from portside.runtime.escapes import EscapeError
from portside.runtime.extensions import IMPORTS, USES, EscapeImportError


@pytest.fixture
def uvloop(monkeypatch):
    """What a test finds that has imported it before the world began."""
    module = ModuleType("uvloop")
    module.Loop = type("Loop", (), {})
    module.new_event_loop = lambda: module.Loop()
    monkeypatch.setitem(sys.modules, "uvloop", module)
    return module


def test_an_import_fails_as_where_the_module_is_not_installed(world, uvloop):
    def program():
        refused = []
        for code in ("import uvloop", "from uvloop import run", "import uvloop.loop", "__import__('gevent.monkey')",
                     "import importlib; importlib.import_module('pycares')"):  # fmt: skip
            with pytest.raises(ImportError) as caught:
                exec(code)
            refused.append(caught.value)
        return refused

    refused = world.call(program)
    assert {type(error) for error in refused} == {EscapeImportError}
    assert [error.call for error in refused] == [
        "import uvloop", "import uvloop", "import uvloop.loop", "import gevent.monkey", "import pycares",
    ]  # fmt: skip
    assert refused[0].name == "uvloop"
    assert str(refused[0]).startswith("uvloop would leave the simulated world: its loop and its sockets are libuv's")
    assert "Use asyncio's own loop" in str(refused[0])


def test_a_program_that_can_do_without_does(world, uvloop):
    assert world.output("""
        try:
            from uvloop import new_event_loop
        except ImportError:
            from asyncio import new_event_loop
        loop = new_event_loop()
        print(type(loop).__module__)
        loop.close()
    """) == "asyncio.unix_events\n"


def test_a_module_of_the_program_may_have_that_name(world, tmp_path):
    (tmp_path / "uvloop.py").write_text("import importlib\nprint(__name__, importlib.import_module('uvloop').__name__)")
    (tmp_path / "main.py").write_text("import uvloop")
    program = world.host.spawn(tmp_path / "main.py")
    world.network.run()
    assert program.output == "uvloop uvloop\n"


def test_what_was_imported_before_is_refused_when_it_is_used(world, uvloop):
    real = uvloop.Loop
    with pytest.raises(EscapeError) as refused:
        world.call(lambda: uvloop.new_event_loop())
    assert refused.value.call == "uvloop"
    assert "libuv" in str(refused.value)
    assert uvloop.Loop is real
    assert type(uvloop.new_event_loop()) is real


def test_what_is_imported_meanwhile_is_refused_when_it_is_used(world, tmp_path, monkeypatch):
    package = tmp_path / "psycopg2"
    package.mkdir()
    (package / "__init__.py").write_text("def _connect(dsn): return dsn\ndef connect(dsn): return _connect(dsn)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "psycopg2", raising=False)  # the real one, where other tests have loaded it

    def program():
        import psycopg2

        with pytest.raises(EscapeError, match=r"psycopg2\.connect would leave the simulated world: libpq's sockets"):
            psycopg2.connect("host=10.0.0.1")

    world.call(program)
    assert sys.modules.pop("psycopg2").connect("host=10.0.0.1") == "host=10.0.0.1"


def test_openssls_connection_may_have_memory_and_no_socket(world, monkeypatch):
    class Connection:
        def __init__(self, context, socket=None):
            self.made = context, socket

    module = ModuleType("OpenSSL.SSL")
    module.Connection = Connection
    monkeypatch.setitem(sys.modules, "OpenSSL.SSL", module)
    assert world.call(lambda: Connection(1).made) == (1, None)
    with pytest.raises(EscapeError, match=r"OpenSSL\.SSL\.Connection\(context, socket\) would leave"):
        world.call(lambda: Connection(1, 2))
    assert Connection(1, 2).made == (1, 2)


def test_each_says_what_to_do_instead():
    for advice in (*IMPORTS.values(), *(advice for *_, advice in USES)):
        assert any(word in advice for word in ("Use ", "run as they are", "Python's sockets", "asyncio"))
