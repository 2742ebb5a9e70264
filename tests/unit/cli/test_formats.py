"""`--format` has the fields of docker 28.2's, command by command: its `--format json` against dockerd 28.5, and its documented names."""

from __future__ import annotations

import json

import pytest
from support.fake_daemon import Reply

CONTAINER = {
    "Id": "a" * 64,
    "Names": ["/web"],
    "Image": "x",
    "ImageID": "sha256:" + "b" * 64,
    "Command": "sh",
    "Created": 1_700_000_000,
    "Labels": {"k": "v"},
    "State": "running",
    "Status": "Up 1 second",
    "Ports": [],
    "Mounts": [],
    "NetworkSettings": {"Networks": {"bridge": {}}},
}
IMAGE = {"Id": "sha256:" + "b" * 64, "RepoTags": ["x:1"], "Created": 1_700_000_000, "Size": 1_984_000, "SharedSize": 0}
NETWORK = {
    "Id": "c" * 64,
    "Name": "net",
    "Driver": "bridge",
    "Scope": "local",
    "Created": "2026-01-02T03:04:05.6Z",
    "Labels": {"k": "v"},
    "EnableIPv4": True,
}
VOLUME = {"Name": "data", "Driver": "local", "Mountpoint": "/m", "Labels": {"k": "v"}, "Scope": "local"}
LAYER = {"Id": "sha256:" + "d" * 64, "Created": 1_700_000_000, "CreatedBy": "sh", "Size": 1, "Comment": ""}
FOUND = {"name": "x", "description": "d", "star_count": 1, "is_official": True}
EVENT = {
    "status": "start",
    "id": "a" * 64,
    "from": "x",
    "Type": "container",
    "Action": "start",
    "Actor": {"ID": "a" * 64, "Attributes": {"name": "web"}},
    "scope": "local",
    "time": 1_700_000_000,
    "timeNano": 1_700_000_000_000_000_001,
}
USAGE = {
    "Images": [IMAGE | {"Containers": 1}],
    "Containers": [CONTAINER],
    "Volumes": [VOLUME | {"UsageData": {"Size": 0, "RefCount": 0}}],
    "BuildCache": [],
    "LayersSize": 5,
}
INFO = {"ID": "i", "HttpProxy": "p", "CpuCfsQuota": True, "NCPU": 2}
VERSION = {"Version": "1", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}

OF_PS = (
    "Command CreatedAt ID Image Labels LocalVolumes Mounts Names Networks Platform Ports RunningFor Size State Status"
)
OF_IMAGES = "Containers CreatedAt CreatedSince Digest ID Repository SharedSize Size Tag UniqueSize VirtualSize"
OF_VOLUMES = "Availability Driver Group Labels Links Mountpoint Name Scope Size Status"
DOCKERS = {
    "ps": OF_PS,
    "container ls": OF_PS,
    "images": OF_IMAGES,
    "network ls": "CreatedAt Driver ID IPv4 IPv6 Internal Labels Name Scope",
    "volume ls": OF_VOLUMES,
    "system df": "Active Reclaimable Size TotalCount Type",
    "history x": "Comment CreatedAt CreatedBy CreatedSince ID Size",
    "search x": "Description IsAutomated IsOfficial Name StarCount",
    "context ls": "Current Description DockerEndpoint Error Name",
    "events": "Action Actor Type from id scope status time timeNano",
}
OURS = {
    "ps": {"Boot", "Mode", "Rich", "RichMode"},
    "container ls": {"Boot", "Mode", "Rich", "RichMode"},
    "network ls": {"Subnets"},
    "history x": {"Tags"},
}
"""Fields that only Pouch has."""


@pytest.fixture(autouse=True)
def things(daemon):
    """A daemon that has one of each."""
    daemon.on("GET", "/containers/json", Reply(document=[CONTAINER]))
    daemon.on("GET", "/images/json", Reply(document=[IMAGE]))
    daemon.on("GET", "/networks", Reply(document=[NETWORK]))
    daemon.on("GET", "/volumes", Reply(document={"Volumes": [VOLUME]}))
    daemon.on("GET", "/images/x/history", Reply(document=[LAYER]))
    daemon.on("GET", "/images/search", Reply(document=[FOUND]))
    daemon.on("GET", "/events", Reply(document=EVENT))
    daemon.on("GET", "/system/df", Reply(document=USAGE))
    daemon.on("GET", "/info", Reply(document=INFO))
    daemon.on("GET", "/version", Reply(document=VERSION))


def formatted(pouch, line, template):
    result = pouch(*line.split(), "--format", template)
    assert result.code == 0, result.err
    return result.out


@pytest.mark.parametrize("line", DOCKERS)
def test_json_has_dockers_members(pouch, line):
    for text in formatted(pouch, line, "json").splitlines():
        assert set(json.loads(text)) - OURS.get(line, set()) == set(DOCKERS[line].split())


@pytest.mark.parametrize(
    ("line", "names"),
    [
        *((line, names) for line, names in DOCKERS.items()),
        ("ps", 'Label "k"'),
        ("network ls", 'Label "k"'),
        ("volume ls", 'Label "k"'),
    ],
)
def test_every_name_is_a_placeholder(pouch, line, names):
    for name in [names] if " " in names and '"' in names else names.split():
        assert formatted(pouch, line, f"{{{{.{name}}}}}") != ""


def test_verbose_usage_has_the_lists_of_the_other_commands(pouch):
    found = json.loads(formatted(pouch, "system df -v", "json"))
    assert set(found) == {"Images", "Containers", "Volumes", "BuildCache"}
    assert set(found["Images"][0]) == set(OF_IMAGES.split())
    assert set(found["Containers"][0]) - OURS["ps"] == set(OF_PS.split())
    assert set(found["Volumes"][0]) == set(OF_VOLUMES.split())
    assert found["Containers"][0]["ID"] == "a" * 64
    assert formatted(pouch, "system df -v", "{{range .Images}}{{.Repository}} {{.UniqueSize}}{{end}}") == "x 1.984MB\n"


@pytest.mark.parametrize(
    ("line", "template", "shown"),
    [
        ("version", "{{.Server.APIVersion}} {{.Server.MinAPIVersion}}", "1.51 1.24"),
        ("version", "{{.Client.DefaultAPIVersion}} {{.Client.Context}} {{.Client.GoVersion}}", "1.51 default "),
        ("info", "{{.HTTPProxy}} {{.CPUCfsQuota}} {{.NCPU}}", "p true 2"),
        ("info", "{{.ClientInfo.Debug}} {{.ClientInfo.Context}} {{json .ClientInfo.Plugins}}", "false default []"),
        ("events", "{{.ID}} {{.Status}} {{.From}} {{.Time}} {{.TimeNano}}", "{id} start x 1700000000 {nano}"),
        ("network ls", "{{.CreatedAt}}", "2026-01-02 03:04:05.6 +0000 UTC"),
        ("images", "{{.Size}} {{.VirtualSize}} {{.SharedSize}}", "1.98MB 1.984MB 0B"),
    ],
)
def test_members_have_the_names_of_dockers_templates_too(pouch, line, template, shown):
    wanted = shown.replace("{id}", "a" * 64).replace("{nano}", "1700000000000000001")
    assert formatted(pouch, line, template) == wanted + "\n"


def test_what_a_person_has_named_is_taken_letter_by_letter(pouch, daemon):
    daemon.on("GET", "/containers/web/json", Reply(document={"Id": "a", "Config": {"Labels": {"Key": "v"}}}))
    assert pouch("inspect", "--format", "{{.ID}} {{.Config.Labels.key}}", "web").out == "a <no value>\n"


def test_a_name_that_nobody_has_is_refused(pouch):
    result = pouch("version", "--format", "{{.Server.Nosuch}}")
    assert result.code != 0
    assert 'there is no field "Nosuch"' in result.err
