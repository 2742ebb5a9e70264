"""Suites that several test modules share get pytest's assertions, as test modules do."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("suites.inits", "suites.snapshotter", "suites.snapshot_files")
