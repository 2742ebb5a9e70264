"""Changes of the daemon's configuration: checked, kept, and given up when somebody configures something else."""

from __future__ import annotations

import dataclasses

import pytest

from pouch.engine import daemon_change
from pouch.engine.settings import Settings
from pouch.spec import errors
from pouch.spec.change import DaemonChange
from pouch.store import db


@pytest.fixture
def database(tmp_path):
    opened = db.Database(str(tmp_path / "pouch.db"))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ({"labels": ("a",)}, "bad attribute format: a"),
        ({"labels": ("=b",)}, "bad attribute format: =b"),
        ({"labels": ("a=b\n",)}, "bad attribute format"),
        ({"labels": ("a=b", "a=c")}, "one name has several values"),
        ({"log_level": "loud"}, "invalid log level 'loud'"),
        ({"stop_timeout": 0}, "invalid StopTimeout 0"),
        ({"shm_size": -1}, "invalid ShmSize -1"),
        ({"registry_mirrors": ("nowhere",)}, "RegistryMirrors: 'nowhere' is not valid"),
        ({"registry_mirrors": ("http://user:secret@host",)}, "'http://...@host' is not valid"),
        ({"insecure_registries": ("http://a",)}, "InsecureRegistries: 'http://a' is not valid"),
        ({"http_proxy": "ftp://user:secret@host"}, "proxy: 'ftp://...@host' is not valid"),
    ],
)
def test_a_wrong_value_is_refused(wanted, sentence):
    with pytest.raises(errors.InvalidInput) as caught:
        daemon_change.check(DaemonChange(**wanted))
    assert sentence in caught.value.message


def test_what_is_not_named_stays():
    settings, names = daemon_change.applied(Settings(stop_timeout=7), DaemonChange(labels=("a=b",)))
    assert (settings, names) == (Settings(stop_timeout=7, labels=("a=b",)), ["labels"])


def test_a_change_holds_for_the_next_start(database):
    daemon_change.keep(database, Settings(), "info", DaemonChange(labels=("a=b",), log_level="debug"))
    daemon_change.keep(database, Settings(), "info", DaemonChange(stop_timeout=3, registry_mirrors=()))
    found = daemon_change.kept_change(database, Settings(), "info")
    assert found == DaemonChange(labels=("a=b",), log_level="debug", stop_timeout=3, registry_mirrors=())


def test_a_later_word_of_the_administrators_counts(database):
    daemon_change.keep(database, Settings(), "info", DaemonChange(labels=("a=b",), stop_timeout=3, log_level="debug"))
    configured = dataclasses.replace(Settings(), labels=("from=file",))
    assert daemon_change.kept_change(database, configured, "error") == DaemonChange(stop_timeout=3)


@pytest.mark.parametrize("kept", ["{", "[]", '{"labels":{"configured":[],"wanted":5}}', '{"labels":3}'])
def test_what_cannot_be_read_does_not_keep_a_daemon_from_starting(database, kept):
    database.set_meta("changes of the configuration", kept)
    assert daemon_change.kept_change(database, Settings(), "info") == DaemonChange()
