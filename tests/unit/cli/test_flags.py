"""Flags, by pflag's rules."""

from __future__ import annotations

import pytest

from pouch.cli import flags
from pouch.cli.errors import FlagError

FLAGS = (
    flags.switch("interactive", "i", "Keep it open"),
    flags.switch("tty", "t", "A terminal"),
    flags.switch("proxy", help="Pass on", default=True),
    flags.many("env", "e", "Variables"),
    flags.text("name", help="A name"),
    flags.integer("time", "n", "Seconds", default=10),
    flags.switch("secret", help=""),
)


def parse(*argv, interspersed=True):
    return flags.parse(FLAGS, argv, interspersed=interspersed)


def test_short_flags_share_a_dash():
    parsed = parse("-ite", "A=1", "-eB=2")
    assert parsed.on("interactive")
    assert parsed.on("tty")
    assert parsed.many("env") == ["A=1", "B=2"]


def test_a_value_stands_behind_an_equals_sign_or_a_space():
    assert parse("--name=x").text("name") == parse("--name", "x").text("name") == "x"
    assert parse("--name=").text("name") == ""
    assert parse("--name=").given("name")


def test_the_last_value_counts():
    assert parse("--name=x", "--name=y").text("name") == "y"


def test_a_switch_can_be_turned_off():
    assert parse().on("proxy")
    assert not parse("--proxy=false").on("proxy")


def test_flags_stop_at_the_first_argument_where_they_belong_to_a_command():
    parsed = parse("-i", "image", "-t", "--name", "x", interspersed=False)
    assert parsed.args == ["image", "-t", "--name", "x"]
    assert not parsed.on("tty")


def test_flags_may_follow_arguments_elsewhere():
    parsed = parse("one", "-i", "two")
    assert parsed.args == ["one", "two"]
    assert parsed.on("interactive")


def test_two_dashes_end_the_flags():
    assert parse("-i", "--", "-t", "--").args == ["-t", "--"]


def test_a_lone_dash_is_an_argument():
    assert parse("-").args == ["-"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--bogus"], "unknown flag: --bogus"),
        (["-x"], "unknown shorthand flag: 'x' in -x"),
        (["-ix"], "unknown shorthand flag: 'x' in -ix"),
        (["--name"], "flag needs an argument: --name"),
        (["-e"], "flag needs an argument: 'e' in -e"),
        (["--time", "x"], 'invalid argument "x" for "-n, --time" flag: strconv.ParseInt: parsing "x": invalid syntax'),
        (["--tty=perhaps"], 'invalid argument "perhaps" for "-t, --tty" flag: strconv.ParseBool: parsing "perhaps"'),
    ],
)
def test_a_wrong_flag_is_named_in_dockers_words(argv, message):
    with pytest.raises(FlagError) as raised:
        parse(*argv)
    assert raised.value.message.startswith(message)
    assert raised.value.code == 125


def test_the_help_shows_defaults_and_hides_flags_without_help():
    text = flags.describe(FLAGS)
    assert "-n, --time int" in text
    assert "(default 10)" in text
    assert "secret" not in text


def test_the_help_keeps_to_the_width():
    long = flags.text("x", help="word " * 60)
    assert max(map(len, flags.describe((long,), 60).splitlines())) <= 60
