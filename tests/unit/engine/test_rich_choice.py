"""Rich mode as members, annotations, labels and the image say it: who wins, what is refused, where hooks may come from."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from support import engine

from pouch.engine import create, rich_choice
from pouch.engine import record as records
from pouch.engine.settings import Settings
from pouch.spec import container, errors

RICH, SCRIPT, APP_EXIT = rich_choice.RICH, rich_choice.INIT_SCRIPT, rich_choice.APP_EXIT
Mode = container.RichMode


def settle(image=None, *, wish=None, annotations=None, labels=None, **options):
    config = container.ContainerConfig(
        image="app",
        rich_wish=container.RichWish(**(wish or {})),
        annotations=annotations or {},
        labels=labels or {},
        **options,
    )
    return rich_choice.settle(config, image or {})


@pytest.mark.parametrize(
    ("sources", "mode"),
    [
        ({}, None),
        ({"wish": {"rich": True}}, Mode.AUTO),
        ({"wish": {"mode": Mode.SYSTEMD}}, Mode.SYSTEMD),
        ({"annotations": {RICH: "true"}}, Mode.AUTO),
        ({"annotations": {RICH: "sbin-init"}}, Mode.SBIN_INIT),
        ({"labels": {RICH: "dumb-init"}}, Mode.DUMB_INIT),
        ({"image": {RICH: "auto"}}, Mode.AUTO),
        ({"image": {RICH: "false"}}, None),
        ({"annotations": {RICH: ""}}, None),
        ({"annotations": {SCRIPT: "/setup"}}, Mode.AUTO),
        ({"annotations": {APP_EXIT: "keep"}}, None),
        # the first that says it wins
        ({"wish": {"mode": Mode.SYSTEMD}, "annotations": {RICH: "sbin-init"}}, Mode.SYSTEMD),
        ({"annotations": {RICH: "sbin-init"}, "labels": {RICH: "dumb-init"}}, Mode.SBIN_INIT),
        ({"labels": {RICH: "dumb-init"}, "image": {RICH: "systemd"}}, Mode.DUMB_INIT),
        ({"wish": {"rich": False}, "annotations": {RICH: "systemd"}}, None),
        ({"annotations": {RICH: "false"}, "labels": {RICH: "systemd"}}, None),
        ({"labels": {RICH: "false"}, "image": {RICH: "systemd"}}, None),
        # whether and which are two questions
        ({"wish": {"rich": True}, "image": {RICH: "systemd"}}, Mode.SYSTEMD),
        ({"annotations": {RICH: "true"}, "labels": {RICH: "sbin-init"}}, Mode.SBIN_INIT),
        ({"annotations": {RICH: "auto"}, "labels": {RICH: "sbin-init"}}, Mode.AUTO),
        ({"wish": {"rich": True}, "image": {RICH: "false"}}, Mode.AUTO),
    ],
)
def test_the_first_that_says_it_wins(sources, mode):
    found = settle(**sources).rich
    assert (found.mode if found else None) is mode


def test_each_setting_is_taken_by_itself():
    found = settle(
        {RICH: "systemd", SCRIPT: "/image", APP_EXIT: "restart"},
        annotations={SCRIPT: "/annotated 'a b'"},
        labels={APP_EXIT: "keep", SCRIPT: "/label"},
    )
    assert found.rich == container.RichConfig(
        mode=Mode.SYSTEMD, init_script="/annotated 'a b'", app_exit=container.AppExit.KEEP
    )


def test_an_empty_script_of_the_clients_takes_the_images_away():
    assert settle({RICH: "true", SCRIPT: "/image"}, labels={SCRIPT: ""}).rich == container.RichConfig()


@pytest.mark.parametrize(
    ("sources", "sentence", "hint"),
    [
        ({"annotations": {RICH: "upstart"}}, f"invalid annotation {RICH}='upstart'", "one of true, false, auto, systemd"),
        ({"labels": {RICH: "yes"}}, f"invalid label {RICH}='yes'", "one of true, false, auto"),
        ({"labels": {APP_EXIT: "never"}}, f"invalid label {APP_EXIT}='never'", "one of stop, keep, restart"),
        ({"image": {RICH: "x\x1b"}}, f"invalid label of the image app {RICH}='x", "one of true, false"),
        ({"annotations": {f"{RICH}.initscript": "/x"}}, f"unknown annotation {RICH}.initscript", f"{SCRIPT} or"),
        ({"annotations": {SCRIPT: "/x\0y"}}, f"annotation {SCRIPT}: expected a line without null bytes", ""),
        ({"wish": {"app_exit": container.AppExit.KEEP}}, "AppExit (--app-exit) is for rich containers", "add --rich"),
    ],
)  # fmt: skip
def test_wrong_values_are_named_with_the_right_ones(sources, sentence, hint):
    with pytest.raises(errors.InvalidInput) as caught:
        settle(**sources)
    assert caught.value.message.startswith(sentence)
    assert caught.value.message.isprintable()
    assert caught.value.hint.startswith(hint) or hint in caught.value.hint


def test_an_image_for_a_later_version_can_be_used():
    assert settle({RICH: "true", f"{RICH}.colour": "blue"}).rich == container.RichConfig()


def test_what_an_image_says_wrongly_does_not_hinder_who_wants_a_plain_container():
    assert settle({RICH: "upstart"}, labels={RICH: "false"}).rich is None


def test_settling_again_with_another_image_forgets_what_the_first_said():
    """As an upgrade does."""
    first = settle({RICH: "systemd"})
    assert first.rich == container.RichConfig(mode=Mode.SYSTEMD)
    assert rich_choice.settle(first, {}).rich is None
    assert rich_choice.settle(first, {RICH: "dumb-init"}).rich == container.RichConfig(mode=Mode.DUMB_INIT)


# -- hooks ------------------------------------------------------------------------------------------------------------

HOOKS = {rich_choice.PRESTART_HOOK: "one $x", rich_choice.POSTSTOP_HOOK: "two"}


@pytest.mark.parametrize("name", HOOKS)
def test_hooks_of_annotations_are_refused_by_default(name):
    with pytest.raises(errors.Forbidden, match=f"annotation {name}: hooks are commands on the host") as caught:
        settle(annotations={name: "x"})
    assert "hooks-from-annotations = true" in caught.value.hint


def test_hooks_of_annotations_come_last_and_once_where_the_administrator_allows_them():
    host = container.HostConfig(prestart_hooks=("zero",))
    config = container.ContainerConfig(image="app", host=host, annotations=HOOKS)
    found = rich_choice.settle(config, {}, hooks_allowed=True)
    assert found.host.prestart_hooks == ("zero", "one $x")
    assert found.host.poststop_hooks == ("two",)
    assert rich_choice.settle(found, {}, hooks_allowed=True) == found


def test_labels_never_bring_hooks():
    config = container.ContainerConfig(image="app", labels=HOOKS)
    assert rich_choice.settle(config, HOOKS, hooks_allowed=True).host == container.HostConfig()


# -- at create --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "hint"),
    [
        ({"annotations": {RICH: "true"}}, f"it is rich by an annotation {RICH}"),
        ({"labels": {RICH: "true"}}, f"it is rich by a label {RICH}"),
        ({"image": {"Labels": {RICH: "true"}}}, f"the label or annotation {RICH}=false makes it a plain container"),
        ({"rich_wish": container.RichWish(rich=True)}, ""),
    ],
)
def test_a_refusal_says_where_rich_mode_comes_from(where, hint):
    image = create.Template(id="", layers=(), config=where.pop("image", {}))
    config = container.ContainerConfig(image="app", host=container.HostConfig(pid_mode="host"), **where)
    with pytest.raises(errors.InvalidInput, match="pid namespace of its own") as caught:
        create.settled(config, image, Settings())
    assert hint in caught.value.hint
    assert bool(hint) == bool(caught.value.hint)


def test_an_administrator_may_have_images_propose_nothing():
    image = create.Template(id="", layers=(), config={"Labels": {RICH: "dumb-init"}})
    config = container.ContainerConfig(image="app")
    assert create.settled(config, image, Settings(rich_from_images=False)).rich is None
    assert create.settled(config, image, Settings()).rich == container.RichConfig(mode=Mode.DUMB_INIT)
    asked = dataclasses.replace(config, labels={RICH: "true"})
    assert create.settled(asked, image, Settings(rich_from_images=False)).rich == container.RichConfig()


def test_a_record_of_before_is_taken_for_its_clients_wish():
    rich = container.RichConfig(mode=Mode.SYSTEMD, init_script="/x", app_exit=container.AppExit.KEEP)
    record = engine.record(rich=rich)
    document = msgspec.json.decode(records.encode(record))
    del document["config"]["rich_wish"]
    config = records.decode(msgspec.json.encode(document), "x").config
    assert config == dataclasses.replace(
        record.config,
        rich_wish=container.RichWish(rich=True, mode=Mode.SYSTEMD, init_script="/x", app_exit=container.AppExit.KEEP),
    )
    assert rich_choice.settle(config, {RICH: "false"}).rich == rich


def test_a_record_of_now_keeps_the_wish_and_what_was_settled():
    record = engine.record(rich=container.RichConfig(), labels={})
    assert records.decode(records.encode(record), "x") == record
