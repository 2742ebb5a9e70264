"""Every endpoint of Docker's API: pouchd answers as dockerd did, or the difference has a reason (docs/docker-api.md, by scripts/api-table)."""

from __future__ import annotations

import pytest
from support.docker_api import endpoints, table
from support.docker_session import engines


@pytest.fixture(scope="module")
def rows(can_run: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, table.Row]:
    """All endpoints, compared with what dockerd answered when it was recorded."""
    image = engines.archive(tmp_path_factory.mktemp("api"))
    _, theirs = table.read()
    with engines.pouch("") as (where, daemon):
        daemon.pouch("load", "--quiet", "--input", image)
        found = table.compared(theirs, table.asked(where.address.removeprefix("unix://")))
        daemon.pouch("network", "prune", "--force")
    return {row.endpoint: row for row in found}


@pytest.mark.parametrize("endpoint", endpoints.ALL)
def test_an_endpoint_is_as_dockerd_has_it(endpoint: str, rows: dict[str, table.Row]) -> None:
    """Status, media type, error sentence and members of each answer, where no reason is given for a difference."""
    row = rows[endpoint]
    assert row.verdict is table.Verdict.SAME or endpoint in table.reasons(), "\n".join(row.notes)


def test_no_endpoint_fails_by_itself(rows: dict[str, table.Row]) -> None:
    """None of the requests, of which half are wrong, brings the daemon to an error of its own."""
    assert not [note for row in rows.values() for note in row.notes if "internal error" in note]


def test_a_reason_is_given_for_an_endpoint_that_there_is() -> None:
    assert set(table.reasons()) <= set(endpoints.ALL)
    assert all(len(reason) > 10 for reason in table.reasons().values())
    assert {endpoint for endpoint in endpoints.ALL if f"`{endpoint}`" in table.DOCUMENT.read_text()} == set(
        endpoints.ALL
    )
