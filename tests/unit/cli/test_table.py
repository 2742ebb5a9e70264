"""Lists."""

from __future__ import annotations

import pytest

from pouch.cli import table
from pouch.cli.errors import CliError

FIELDS = {
    "ID": ("THING ID", lambda one: one["id"]),
    "Name": ("NAME", lambda one: one["name"]),
    "Label": ("", lambda one: lambda key: one["labels"].get(key, "")),
}
THINGS = [
    {"id": "1", "name": "first", "labels": {"a": "b"}},
    {"id": "22222222222222", "name": "second", "labels": {}},
]
LISTING = table.Listing(FIELDS, ("ID", "Name"), quiet="ID")


def printed(capsys, template="", **options):
    LISTING.print(THINGS, template, **options)
    return capsys.readouterr().out


def test_columns_are_as_wide_as_their_widest_cell_and_three(capsys):
    assert printed(capsys) == "THING ID         NAME\n1                first\n22222222222222   second\n"


def test_a_column_is_never_narrower_than_ten():
    assert table.columns([["A", "B"], ["c", "d"]]) == "A         B\nc         d"


def test_the_last_column_is_not_padded():
    assert table.columns([["AAAA", "B"], ["c", "dddd"]]).splitlines()[0] == "AAAA      B"


def test_wide_letters_count_twice_and_combining_ones_not():
    first, second = table.columns([["漢字漢字漢字", "x"], ["e\u0301", "x"]]).splitlines()
    assert first == "漢字漢字漢字   x"
    assert second == "e\u0301" + " " * 14 + "x"


def test_quiet_shows_ids_alone(capsys):
    assert printed(capsys, quiet=True) == "1\n22222222222222\n"


def test_a_template_makes_a_line_per_item(capsys):
    assert printed(capsys, "{{.Name}}={{.ID}}") == "first=1\nsecond=22222222222222\n"


def test_a_template_wins_over_quiet(capsys):
    assert printed(capsys, "{{.Name}}", quiet=True) == "first\nsecond\n"


def test_a_table_template_has_headings_and_columns(capsys):
    assert printed(capsys, r"table {{.Name}}\t{{.ID}}") == "NAME      THING ID\nfirst     1\nsecond    22222222222222\n"


def test_a_field_with_an_argument_is_headed_by_it(capsys):
    assert printed(capsys, r'table {{.ID}}\t{{.Label "a"}}').splitlines()[0] == "THING ID         a"
    assert printed(capsys, '{{.Label "a"}}') == "b\n\n"


def test_a_function_changes_values_and_not_headings(capsys):
    text = r'table {{upper .Name}}\t{{truncate .ID 1}}\t{{.Label "a" | upper}}'
    assert printed(capsys, text).splitlines()[0].split() == ["NAME", "THING", "ID", "a"]
    assert printed(capsys, text).splitlines()[2].split() == ["SECOND", "2"]


def test_json_is_one_object_a_line_without_the_fields_that_take_arguments(capsys):
    assert printed(capsys, "json") == '{"ID":"1","Name":"first"}\n{"ID":"22222222222222","Name":"second"}\n'


def test_a_field_that_does_not_exist_is_named_with_those_that_do(capsys):
    with pytest.raises(CliError, match=r'there is no field "Nope"\n.*\.ID, \.Name'):
        printed(capsys, "{{.Nope}}")


def test_control_characters_of_others_do_not_reach_the_terminal(capsys):
    LISTING.print([{"id": "1", "name": "\x1b[2Jx\ny", "labels": {}}])
    assert "\\x1b[2Jx\\ny" in capsys.readouterr().out
