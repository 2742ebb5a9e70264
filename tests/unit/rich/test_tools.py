"""The launcher is found, or its absence explained."""

from __future__ import annotations

import pytest

from pouch.rich import tools
from pouch.spec import errors


def test_the_named_directory_comes_first(tmp_path, monkeypatch):
    program = tmp_path / "launch"
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setenv("POUCH_LIBEXEC", str(tmp_path))
    assert tools.find().launch == str(program)


def test_a_missing_launcher_is_told_with_the_places(tmp_path, monkeypatch):
    monkeypatch.setenv("POUCH_LIBEXEC", str(tmp_path))
    monkeypatch.setattr(tools.os.path, "isfile", lambda path: False)
    with pytest.raises(errors.Unsupported, match=str(tmp_path)) as caught:
        tools.find()
    assert "scripts/build-launch" in caught.value.hint
