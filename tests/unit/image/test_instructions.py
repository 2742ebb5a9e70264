"""`--change`: Docker's instructions, forms and quotes, and one clear error that names the line."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pouch.image import instructions, words
from pouch.spec import errors

BASE = {"Env": ["PATH=/bin", "DIR=/srv", "EMPTY="], "Cmd": ["old"], "WorkingDir": "/opt"}


def changed(*lines, base=BASE):
    return instructions.apply(base, lines)


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ('CMD ["a", "b c"]', "Cmd", ["a", "b c"]),
        ("CMD a  'b' $HOME", "Cmd", ["/bin/sh", "-c", "a  'b' $HOME"]),
        ("CMD [ -f x ] && true", "Cmd", ["/bin/sh", "-c", "[ -f x ] && true"]),
        ("CMD []", "Cmd", []),
        ("cmd\tsleep 1", "Cmd", ["/bin/sh", "-c", "sleep 1"]),
        ('ENTRYPOINT ["/init"]', "Entrypoint", ["/init"]),
        ("ENTRYPOINT exec x", "Entrypoint", ["/bin/sh", "-c", "exec x"]),
        ("ENV A=1", "Env", ["PATH=/bin", "DIR=/srv", "EMPTY=", "A=1"]),
        ("ENV PATH=$PATH:/x", "Env", ["PATH=/bin:/x", "DIR=/srv", "EMPTY="]),
        ("ENV A=1 B='$DIR' C=\"$DIR x\" D=a\\ b", "Env", [*BASE["Env"], "A=1", "B=$DIR", "C=/srv x", "D=a b"]),
        ("ENV A a long value", "Env", [*BASE["Env"], "A=a long value"]),
        ("ENV DIR=1 B=$DIR", "Env", ["PATH=/bin", "DIR=1", "EMPTY=", "B=/srv"]),
        ("ENV A=${NONE:-x}${DIR:+y}${EMPTY-z}${EMPTY:-w}", "Env", [*BASE["Env"], "A=xyw"]),
        ("LABEL a=b 'c d'=\"e f\"", "Labels", {"a": "b", "c d": "e f"}),
        ("LABEL a b c", "Labels", {"a": "b c"}),
        (
            "EXPOSE 80 53/udp 7000-7002/TCP",
            "ExposedPorts",
            {port: {} for port in ("80/tcp", "53/udp", "7000/tcp", "7001/tcp", "7002/tcp")},
        ),
        ("VOLUME /a $DIR/b", "Volumes", {"/a": {}, "/srv/b": {}}),
        ('VOLUME ["/with space"]', "Volumes", {"/with space": {}}),
        ("USER app:adm", "User", "app:adm"),
        ("WORKDIR sub/../x", "WorkingDir", "/opt/x"),
        ("WORKDIR //srv/", "WorkingDir", "/srv"),
        ("STOPSIGNAL SIGRTMIN+3", "StopSignal", "SIGRTMIN+3"),
        ("STOPSIGNAL 9", "StopSignal", "9"),
        ("ONBUILD RUN make", "OnBuild", ["RUN make"]),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        ("HEALTHCHECK CMD curl x", "Healthcheck", {"Test": ["CMD-SHELL", "curl x"]}),
        (
            'HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=3 --start-period=0 CMD ["a","b"]',
            "Healthcheck",
            {"Test": ["CMD", "a", "b"], "Interval": 90 * 10**9, "Timeout": 15 * 10**8, "Retries": 3, "StartPeriod": 0},
        ),
    ],
)
def test_an_instruction(line, key, value):
    assert changed(line)[key] == value


def test_what_is_not_changed_stays_and_the_base_is_not_touched():
    base = {"Env": ["A=1"], "Labels": {"x": "y"}, "Custom": 1}
    found = changed("LABEL a=b", "ENV B=2", base=base)
    assert found == {"Env": ["A=1", "B=2"], "Labels": {"x": "y", "a": "b"}, "Custom": 1}
    assert base == {"Env": ["A=1"], "Labels": {"x": "y"}, "Custom": 1}


def test_an_entrypoint_drops_the_old_command_but_not_a_new_one():
    assert changed('ENTRYPOINT ["x"]')["Cmd"] is None
    assert changed('CMD ["new"]', 'ENTRYPOINT ["x"]')["Cmd"] == ["new"]
    assert changed('ENTRYPOINT ["x"]', 'CMD ["new"]')["Cmd"] == ["new"]


def test_the_images_own_shell_is_used():
    assert changed("CMD x", base={"Shell": ["/bin/bash", "-lc"]})["Cmd"] == ["/bin/bash", "-lc", "x"]


def test_many_lines_comments_and_continuations():
    found = changed("# a comment\nENV A=1 \\\n  B=2 \\  \n# within\n\n  C=3\nLABEL x=y", "USER me")
    assert found["Env"][-3:] == ["A=1", "B=2", "C=3"]
    assert (found["Labels"], found["User"]) == ({"x": "y"}, "me")


def test_later_lines_see_earlier_ones():
    assert changed("ENV A=/x", "WORKDIR $A/y")["WorkingDir"] == "/x/y"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("CMD [1]", "arrays must be comprised of strings only"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV A=1 B", 'can\'t find = in "B"'),
        ("ENV =1", "ENV names can not be blank"),
        ("LABEL ''=1", "LABEL names can not be blank"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("EXPOSE 0", "invalid containerPort: 0"),
        ("EXPOSE 70000", "invalid containerPort"),
        ("EXPOSE 9-5", "invalid containerPort"),
        ("EXPOSE http", "invalid containerPort: http"),
        ("EXPOSE 80/icmp", "invalid proto: icmp"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ("STOPSIGNAL SIGNONE", "SIGNONE"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN x", "isn't allowed"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD DANCE", "DANCE is no Dockerfile instruction"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK RUN x", 'Unknown type "RUN" in HEALTHCHECK'),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE x", "takes no arguments"),
        ("HEALTHCHECK --retries=0 CMD x", "--retries must be at least 1"),
        ("HEALTHCHECK --interval=1 CMD x", 'invalid duration "1"'),
        ("HEALTHCHECK --interval=1us CMD x", "cannot be less than 1ms"),
        ("HEALTHCHECK --interval CMD x", "Missing a value on flag: interval"),
        ("HEALTHCHECK --often=1s CMD x", "Unknown flag: often"),
        ("USER 'open", "matching single-quote"),
        ('USER "open', "matching double-quote"),
        ("USER ${open", "unsupported modifier"),
        ("USER ${A:-x", "matching closing brace"),
        ("USER ${A:?is needed}", "A: is needed"),
        ("USER " + "${A:-" * 40, "substitutions within each other"),
    ],
)
def test_a_mistake_names_the_line(line, message):
    with pytest.raises(errors.InvalidInput) as caught:
        changed(line)
    assert caught.value.message.startswith(f'change "{line}": ')
    assert message in caught.value.message


@pytest.mark.parametrize("line", ["RUN make", "NONSENSE"])
def test_what_cannot_be_changed_is_named_as_docker_names_it(line):
    with pytest.raises(errors.InvalidInput) as caught:
        changed(line)
    assert caught.value.message == f"{line.split()[0]} is not a valid change command"


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="'\"\\${}:-+?a =\t", max_size=30))
def test_any_text_is_split_and_expanded_or_refused(text):
    words.split(text)
    with contextlib.suppress(errors.InvalidInput):
        words.expand(text, {"a": "b"})
    with contextlib.suppress(errors.InvalidInput):
        instructions.apply({}, [f"ENV {text}"])


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(blacklist_characters="'\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\0"), max_size=30))
def test_single_quotes_keep_any_text_as_it_is(text):
    assert words.expand(f"'{text}'", {}) == text
    assert words.split(f"a='{text}'") == [f"a='{text}'"]
