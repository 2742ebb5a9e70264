"""The part of Go's templates that --format understands."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pouch.cli import template
from pouch.cli.template_tokens import TemplateError

DOCUMENT = {
    "Id": "abc",
    "Name": "/web",
    "State": {"Status": "running", "Running": True, "ExitCode": 0, "Error": "", "OOMKilled": False},
    "Config": {"Labels": {"b": "2", "a": "1"}, "Env": ["A=1", "B=2"], "Cmd": None, "Image": "x"},
    "Mounts": [{"Source": "/a"}, {"Source": "/b"}],
    "NetworkSettings": {"Networks": {"bridge": {"IPAddress": "10.0.0.2"}}},
    "Size": 1.5,
}


def render(text, value=DOCUMENT):
    return template.parse(text).render(value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("", ""),
        ("{{.Name}}", "/web"),
        ("{{ .State.Status }}!", "running!"),
        ("{{.State.Running}} {{.State.ExitCode}} {{.Size}}", "true 0 1.5"),
        ("{{.Config.Cmd}}", "<nil>"),
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{.Config.Labels}}", "map[a:1 b:2]"),
        ("{{.ID}}", "abc"),
        ("{{json .State.Status}}", '"running"'),
        ("{{json .Config.Labels}}", '{"b":"2","a":"1"}'),
        ("{{.Config.Labels | json}}", '{"b":"2","a":"1"}'),
        ('{{index .Config.Labels "a"}}', "1"),
        ('{{index .Config.Labels "nope"}}', ""),
        ("{{index .Config.Env 1}}", "B=2"),
        ("{{(index .Mounts 1).Source}}", "/b"),
        ('{{index .NetworkSettings.Networks "bridge" "IPAddress"}}', "10.0.0.2"),
        ('{{join .Config.Env ","}}', "A=1,B=2"),
        ("{{len .Mounts}}", "2"),
        ("{{upper .State.Status}}{{lower `ABC`}}{{title `abc`}}", "RUNNINGabcAbc"),
        ("{{range .Mounts}}{{.Source}} {{end}}", "/a /b "),
        ("{{range $i, $m := .Mounts}}{{$i}}{{$m.Source}};{{end}}", "0/a;1/b;"),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "a=1 b=2 "),
        ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
        ("{{range .NetworkSettings.Networks}}{{.IPAddress}} {{$.Name}}{{end}}", "10.0.0.2 /web"),
        ('{{if eq .State.Status "running"}}up{{else}}down{{end}}', "up"),
        ('{{if eq .State.Status "a" "running"}}up{{end}}', "up"),
        ("{{if .State.Error}}x{{else if .State.OOMKilled}}y{{else}}z{{end}}", "z"),
        ("{{if and .State.Running (not .State.OOMKilled)}}ok{{end}}", "ok"),
        ('{{or .State.Error "none"}}', "none"),
        ("{{if gt (len .Mounts) 1}}many{{end}}", "many"),
        ("{{with .State}}{{.Status}} {{$.Id}}{{end}}", "running abc"),
        ("{{with .State.Error}}{{.}}{{else}}fine{{end}}", "fine"),
        ("{{$x := .Name}}{{$x}}{{$x}}", "/web/web"),
        ("a  {{- .Id -}}  b", "aabcb"),
        ("{{/* nothing */}}{{.Id}}", "abc"),
        ("x {{- /* nothing */ -}} y", "xy"),
        (r"{{.Id}}\t{{.Id}}\n", "abc\tabc\n"),
        ('{{printf "%-5s|%03d|%q" .Id 7 .Id}}', 'abc  |007|"abc"'),
        ('{{print "a" 1}}{{println "b"}}', "a1b\n"),
        ("{{slice .Name 1}} {{slice .Name 0 2}}", "web /w"),
        ('{{truncate .Name 2}}{{pad "x" 1 2}}|', "/w x  |"),
        ('{{range split "a-b" "-"}}[{{.}}]{{end}}', "[a][b]"),
        ("{{.}}", None),
        ("{{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{ge 1 2}}", "true true true false"),
        ('{{"quoted \\"x\\"\\n"}}', 'quoted "x"\n'),
        ("{{true}} {{nil}}", "true <nil>"),
        ("{{.Config.Labels.nope}}", "<no value>"),
        ("}} alone", "}} alone"),
    ],
)
def test_what_people_write_is_understood(text, shown):
    result = render(text)
    assert shown is None or result == shown


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{.Name", "unclosed action"),
        ("{{}}", "missing value"),
        ("{{.Nope}}", 'no field "Nope"'),
        ("{{.State.Nope}}", 'no field "Nope"'),
        ("{{.Config.Cmd.x}}", "nil pointer"),
        ("{{.Name.x}}", "can't evaluate field"),
        ("{{frobnicate .Name}}", 'function "frobnicate" not defined'),
        ("{{if .Name}}x", "needs an {{end}}"),
        ("{{range .Mounts}}", "needs an {{end}}"),
        ("{{range}}{{end}}", "missing value"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{if .Name}}a{{else}}b{{else}}c{{end}}", "expected {{end}}"),
        ('{{template "x"}}', "not supported"),
        ("{{range .Mounts}}{{break}}{{end}}", "not supported"),
        ("{{range .Name}}{{end}}", "can't iterate"),
        ("{{.Name .Id}}", "non-function"),
        ("{{index .Mounts 9}}", "out of range"),
        ("{{index .Name .Name}}", "can't index"),
        ("{{$nope}}", 'undefined variable "$nope"'),
        ('{{"open}}', "unterminated"),
        ("{{(len .Mounts}}", "unclosed left paren"),
        ("{{.Name | }}", "missing value"),
        ("{{/* open}}", "unclosed comment"),
        ("{{len 5}}", "error calling"),
        ("{{eq 1}}", "missing argument"),
        ("{{.Name %}}", "unexpected '%'"),
        ('{{printf "%z" 1}}', "bad verb"),
        ("{{12abc}}", "bad number"),
        ("{{if eq .Name}}{{end}}", "missing argument"),
        ("{{lt 1 `a`}}", "error calling"),
    ],
)
def test_what_is_wrong_is_said(text, reason):
    with pytest.raises(TemplateError) as raised:
        render(text)
    assert reason in raised.value.message
    assert raised.value.message.startswith("template parsing error: ")


def test_a_variable_set_inside_a_block_ends_with_it():
    assert render("{{$x := 1}}{{if true}}{{$y := 2}}{{$y}}{{end}}{{$x}}") == "21"
    with pytest.raises(TemplateError, match="undefined variable"):
        render("{{if true}}{{$y := 2}}{{end}}{{$y}}")


def test_a_variable_can_be_changed_in_a_loop():
    assert render("{{$n := 0}}{{range .Mounts}}{{$n = .Source}}{{end}}{{$n}}") == "/b"


PIECES = (
    "{{ }} {{- -}} }}{{ . .Id .State.Status $ $x := = | ( ) , range if else end with eq index json printf len slice "
    "\"a\" `b` 1 -1 1.5 nil true /* */ 'c' \\n x"
).split()


@settings(max_examples=500)
@given(st.lists(st.sampled_from([*PIECES, " "]), max_size=14))
def test_whatever_is_written_is_shown_or_told(pieces):
    """Nothing but a TemplateError comes out of a template, however wrong."""
    with contextlib.suppress(TemplateError):
        render(f"{{{{{''.join(pieces)}}}}}")
