"""A skip is a failure where the check is required: DAWGEN_REQUIRE lists marker names, by commas or spaces.

tests/conftest.py takes part by `from requirements_plugin import pytest_runtest_makereport`.
"""

import os
import re

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """The report of a skipped test with a required marker, as a failure that says why it was skipped."""
    report = yield
    required = set(re.split(r"[\s,]+", os.environ.get("DAWGEN_REQUIRE", "")))
    marked = sorted(required & {mark.name for mark in item.iter_markers()})
    if report.skipped and marked and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"required by DAWGEN_REQUIRE ({', '.join(marked)}), but {reason}"
    return report
