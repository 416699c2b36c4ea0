"""What a decision answers: allowed, or the errno, the rule that decided, and because of whom."""

from __future__ import annotations

import errno as _errno
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule by which a call, a packet or a route is refused.

    `name` is short and stable (tests and `--json` use it). `sentence` is for a person and may hold `{0}`, `{1}` ... for
    the things in `Verdict.because`, and `{subject}` for what was asked. `source` is the authority: a man page, an RFC
    section or a kernel function.
    """

    name: str
    sentence: str
    source: str


class Verdict:
    """A decision with its reason. The sentence is built when it is asked for, never on the way of a packet.

    `errno` is 0 when allowed. `because` holds the sockets, the route or the firewall rule that decided.
    """

    __slots__ = ("because", "errno", "rule", "subject")

    def __init__(
        self, errno: int, rule: Rule | None = None, because: tuple[object, ...] = (), subject: object = None
    ) -> None:
        self.errno = errno
        self.rule = rule
        self.because = because
        self.subject = subject

    def __bool__(self) -> bool:
        return self.errno == 0

    @property
    def sentence(self) -> str:
        """The rule in words, with what it was because of."""
        if self.rule is None:
            return "allowed"
        return self.rule.sentence.format(*self.because, subject=self.subject)

    def __repr__(self) -> str:
        code = _errno.errorcode.get(self.errno, str(self.errno)) if self.errno else "allowed"
        return f"<Verdict {code}: {self.sentence}>"


ALLOWED: Final = Verdict(0)
