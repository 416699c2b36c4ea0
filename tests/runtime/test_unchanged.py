"""What is relied on of classes and modules is what it was, whoever gets something of that name."""

from __future__ import annotations

from types import ModuleType

import pytest

from portside.runtime.unchanged import Unchanged


class Base:
    """Who has both names."""

    def one(self) -> int:
        """The first."""
        return 1

    def two(self) -> int:
        """The second."""
        return 2


class Middle(Base):
    """Who has none of them."""


class Last(Middle):
    """Who has one of them."""

    def two(self) -> int:
        """Another second."""
        return 3


@pytest.fixture
def relied() -> Unchanged:
    made = Unchanged()
    made.rely_on(Last, "one", "two")
    return made


def another(*_: object) -> int:
    """Not what was relied on."""
    return 0


@pytest.mark.parametrize(
    ("kind", "name"), [(Base, "one"), (Middle, "one"), (Last, "one"), (Last, "two")], ids=lambda each: str(each)
)
def test_another_on_the_class_or_on_one_that_is_asked_before_it_is_seen(
    relied: Unchanged, kind: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert relied.holds()
    with monkeypatch.context() as patch:
        patch.setattr(kind, name, another)
        assert not relied.holds()
        assert not relied.holds()
    assert relied.holds()


def test_what_does_not_count_does_not(relied: Unchanged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Base, "two", another)  # Last has its own
    monkeypatch.setattr(Middle, "three", another, raising=False)
    assert relied.holds()
    monkeypatch.setattr(Middle, "one", another)  # after the other one, too
    assert not relied.holds()


def test_what_is_gone_is_no_more_what_it_was(relied: Unchanged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Last, "two")
    assert not relied.holds()


def test_modules() -> None:
    module = ModuleType("module")
    module.one = another  # type: ignore[attr-defined]
    relied = Unchanged()
    relied.rely_on(module, "one")
    assert relied.holds()
    module.one = len  # type: ignore[attr-defined]
    assert not relied.holds()


def test_what_is_to_come_is_relied_on_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    relied = Unchanged()
    relied.rely_on_as(Base, "one", another)
    assert not relied.holds()
    monkeypatch.setattr(Base, "one", another)
    assert relied.holds()


def test_what_there_is_not_is_not_relied_on() -> None:
    for holder in (Last, ModuleType("module")):
        with pytest.raises(AttributeError, match="three"):
            Unchanged().rely_on(holder, "three")


def test_given_up_it_never_holds(relied: Unchanged) -> None:
    relied.give_up()
    assert not relied.holds()
