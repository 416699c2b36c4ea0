"""Runs one suite of the interpreter's `test` package and writes a line of JSON as each test begins and ends.

A program like any other, started as `suite.py NAME RESULTS` by `python3` and by `portside run`: it knows neither.
"""

import gc
import importlib
import json
import sys
import time
import traceback
import unittest

from test import support

RESOURCES = {"test_socketserver": ["network"]}
"""What regrtest's `-u` switches on, by suite."""

LEFT_OUT = ("VSOCK",)
"""Classes with this in their name can hang on virtual machines."""

OUTCOMES = ("passed", "skipped", "failed")
"""From good to bad: a test with subtests has its worst."""


class Results(unittest.TestResult):
    """Writes what becomes of each test. The file is open only meanwhile, so that tests find no descriptor of ours."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.begun = 0.0
        self.found = []

    def write(self, **line):
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def startTest(self, test):
        super().startTest(test)
        self.found = []
        self.write(begins=test.id())
        self.begun = time.perf_counter()

    def stopTest(self, test):
        super().stopTest(test)
        seconds = time.perf_counter() - self.begun
        outcome, reason = max(self.found, key=lambda one: OUTCOMES.index(one[0]), default=("passed", ""))
        self.write(test=test.id(), outcome=outcome, seconds=round(seconds, 3), reason=reason)
        if outcome == "failed":
            gc.collect()  # what it left behind shall not warn in a test that counts warnings

    def note(self, test, outcome, reason=""):
        if isinstance(test, unittest.TestCase):
            self.found.append((outcome, reason))
        else:  # setUpModule or setUpClass, which unittest tells by a stand-in for the tests that do not run
            self.write(test=test.id(), outcome=outcome, seconds=0.0, reason=reason)

    def failed(self, test, error):
        print(f"--- {test.id()}", *traceback.format_exception(*error), sep="\n", flush=True)
        self.note(test, "failed", traceback.format_exception_only(*error[:2])[-1].splitlines()[0])

    def addSkip(self, test, reason):
        self.note(test, "skipped", reason)

    def addFailure(self, test, error):
        self.failed(test, error)

    def addError(self, test, error):
        self.failed(test, error)

    def addUnexpectedSuccess(self, test):
        self.note(test, "failed", "unexpected success")

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.failed(test, error)


def wanted(suite):
    """The same suite of suites without what is left out."""
    kept = type(suite)()
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            kept.addTest(wanted(item))
        elif not any(word in type(item).__name__ for word in LEFT_OUT):
            kept.addTest(item)
    return kept


def main(name, path):
    support.use_resources = RESOURCES.get(name, [])
    results = Results(path)
    try:
        module = importlib.import_module(f"test.{name}")
        suite = wanted(unittest.defaultTestLoader.loadTestsFromModule(module))
    except unittest.SkipTest as skip:
        results.write(test=f"test.{name}", outcome="skipped", seconds=0.0, reason=str(skip))
    else:
        suite.run(results)
    results.write(ended=name)


if __name__ == "__main__":
    main(*sys.argv[1:])
