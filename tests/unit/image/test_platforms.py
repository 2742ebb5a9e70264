"""Platforms: how they are spelled, and which of an index's manifests is taken."""

from __future__ import annotations

import os

import pytest

from pouch.image import platforms
from pouch.spec import descriptor, errors


def platform(text):
    system, architecture, *variant = text.split("/")
    return descriptor.Platform(architecture=architecture, os=system, variant=variant[0] if variant else "")


def offered(*names):
    return [
        descriptor.Descriptor(media_type="m", digest=name, size=1, platform=platform(name) if name != "none" else None)
        for name in names
    ]


@pytest.mark.parametrize(
    ("wanted", "offers", "chosen"),
    [
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], "linux/arm/v6"),
        ("linux/arm/v7", ["linux/arm/v6", "linux/arm"], "linux/arm"),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm/v5"], "linux/arm/v5"),
        ("linux/arm64/v8", ["linux/arm/v7", "linux/arm64"], "linux/arm64"),
        ("linux/arm64", ["linux/arm64/v9", "linux/arm64/v8"], "linux/arm64/v8"),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64"], "linux/amd64"),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64/v2"], "linux/amd64/v2"),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"], "linux/amd64/v2"),
        ("linux/amd64", ["unknown/unknown", "linux/amd64", "unknown/unknown"], "linux/amd64"),
        ("linux/riscv64", ["linux/riscv64/strange"], "linux/riscv64/strange"),
        ("linux/s390x", ["linux/amd64", "none"], "none"),
    ],
)
def test_the_nearest_that_runs_is_chosen(wanted, offers, chosen):
    assert platforms.choose(offered(*offers), platform(wanted), "web").digest == chosen


def test_the_first_of_equals_is_chosen():
    one, two = offered("linux/amd64", "linux/amd64")
    assert platforms.choose([one, two], platform("linux/amd64"), "web") is one


def test_an_image_for_a_higher_arm_does_not_run_and_the_message_names_what_there_is():
    with pytest.raises(errors.Unsupported, match="web: no image for linux/arm/v6, it has linux/amd64, linux/arm/v7"):
        platforms.choose(offered("linux/arm/v7", "linux/amd64"), platform("linux/arm/v6"), "web")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("linux/amd64", "linux/amd64"),
        ("LINUX/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64/v8"),
        ("linux/armhf", "linux/arm/v7"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("arm64", "linux/arm64"),
        ("i386", "linux/386"),
        ("windows/amd64", "windows/amd64"),
    ],
)
def test_a_platform_is_read_as_people_write_it(text, meant):
    assert platforms.spell(platforms.parse(text)) == meant


def test_an_operating_system_alone_means_the_hosts_architecture(monkeypatch):
    machine = os.uname()
    monkeypatch.setattr(os, "uname", lambda: type(machine)((*machine[:4], "armv7l")))
    assert platforms.spell(platforms.parse("linux")) == "linux/arm/v7"


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "linux/amd64;rm", "linux//v7", "x" * 33])
def test_what_is_no_platform_is_refused_with_an_example(text):
    with pytest.raises(errors.InvalidInput, match=r"expected os/architecture\[/variant\]"):
        platforms.parse(text)
