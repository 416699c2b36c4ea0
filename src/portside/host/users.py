"""The users of a host: names and numbers, as passwd(5) and group(5) would hold them."""

from __future__ import annotations

ROOT = 0
NOBODY = 65534
FIRST_USER = 1000
MAX_ID = 0xFFFFFFFE  # 0xffffffff is "no id" in every call that takes one


class Users:
    """Names <-> user ids of one host. A user's group has the user's name and number, as useradd(8) makes them."""

    __slots__ = ("_names", "_numbers")

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        self.add("root", ROOT)
        self.add("nobody", NOBODY)

    def add(self, name: str, uid: int | None = None) -> int:
        """Add a user; its uid is the next free one from 1000 on unless given. ValueError when either is taken."""
        if uid is None:
            uid = FIRST_USER
            while uid in self._names:
                uid += 1
        if not 0 <= uid <= MAX_ID:
            raise ValueError(f"{uid} is not a user id: 0 to {MAX_ID}")
        if not name or name[0] == "-" or any(each.isspace() or each in ":/" for each in name):
            raise ValueError(f"{name!r} is no user: give a name or a number")
        if name in self._numbers or uid in self._names:
            raise ValueError(f"user {name!r} with uid {uid}: the name or the number is taken already")
        self._names[uid] = name
        self._numbers[name] = uid
        return uid

    def uid(self, user: str | int) -> int:
        """The uid of a user given as a name or a number, in digits too; a name not known yet is added."""
        if isinstance(user, str) and not user.isdecimal():
            known = self._numbers.get(user)
            return self.add(user) if known is None else known
        number = int(user)
        if not 0 <= number <= MAX_ID:
            raise ValueError(f"{user} is not a user id: 0 to {MAX_ID}")
        return number

    def name(self, uid: int) -> str | None:
        """The name that goes with `uid`, or None."""
        return self._names.get(uid)

    def all(self) -> list[tuple[str, int]]:
        """Every user as (name, uid), by uid."""
        return [(self._names[uid], uid) for uid in sorted(self._names)]
