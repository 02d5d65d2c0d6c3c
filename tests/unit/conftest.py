"""Fixtures of the audit's tests."""

import numpy as np
import pytest

from dawgen_core.audit import diversity, labelling, shortcuts, two_sample


@pytest.fixture
def quick(monkeypatch):
    """Without classifiers, which take most of the time."""
    monkeypatch.setattr(shortcuts, "view", lambda name, rows, seed=0: (0.0, np.zeros(9)))
    monkeypatch.setattr(two_sample, "auc", lambda rows, real, view, seed=0: (0.5, np.full(9, 0.5)))
    monkeypatch.setattr(labelling, "suspects", lambda rows: None)
    monkeypatch.setattr(labelling, "agreement", lambda rows, real: (np.ones(len(rows), bool), np.ones(len(real), bool)))
    monkeypatch.setattr(diversity, "SAMPLE", 3)
