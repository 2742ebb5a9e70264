"""Where registries are, how they are spoken to, through which proxy; which URLs of theirs are gone to; when to try again."""

from __future__ import annotations

import pytest

from pouch.image.registry import hosts, places, proxies, retry
from pouch.spec import errors

NO_CERTIFICATES = {"certs_dirs": ()}


def bases(domain, **settings):
    return hosts.endpoint(hosts.Settings(**NO_CERTIFICATES | settings), domain).bases


def test_the_hub_lives_elsewhere_than_its_name_says():
    assert bases("docker.io") == ("https://registry-1.docker.io",)


def test_a_registry_is_spoken_to_by_tls_alone():
    assert bases("registry.corp:5000") == ("https://registry.corp:5000",)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:5000", "localhost", "localhost:5000", "[::1]:5000"])
def test_loopback_is_insecure_by_itself(host):
    assert bases(host) == (f"https://{host}", f"http://{host}")


@pytest.mark.parametrize("host", ["localhost.example", "127.0.0.1.example:80", "10.0.0.1", "128.0.0.1:5000", "[::2]:1"])
def test_nothing_else_is(host):
    assert bases(host) == (f"https://{host}",)


@pytest.mark.parametrize(
    ("rules", "host", "expected"),
    [
        (("registry.corp",), "registry.corp", True),
        (("registry.corp",), "registry.corp:5000", True),
        (("registry.corp:5000",), "registry.corp:5000", True),
        (("registry.corp:5000",), "registry.corp", False),
        (("Registry.Corp",), "registry.corp", True),
        (("registry.corp",), "a.registry.corp", False),
        (("10.0.0.0/8",), "10.1.2.3:5000", True),
        (("10.0.0.0/8",), "11.1.2.3:5000", False),
        (("2001:db8::/32",), "[2001:db8::1]:5000", True),
        (("10.0.0.0/8",), "registry.corp", False),
    ],
)
def test_what_is_listed_is_insecure(rules, host, expected):
    assert (len(bases(host, insecure=rules)) == 2) is expected


def test_one_registry_can_be_decided_about():
    registries = {
        "a.corp": hosts.Registry(plain_http=True),
        "b.corp": hosts.Registry(insecure=True),
        "127.0.0.1:1": hosts.Registry(insecure=False),
        "c.corp": hosts.Registry(ca="/ca.pem", certificate="/me.pem", key="/me.key"),
        "127.0.0.1:2": hosts.Registry(ca="/ca.pem"),
    }
    settings = hosts.Settings(registries=registries, certs_dirs=())
    assert hosts.endpoint(settings, "a.corp").bases == ("http://a.corp",)
    assert hosts.endpoint(settings, "b.corp").bases == ("https://b.corp", "http://b.corp")
    assert hosts.endpoint(settings, "127.0.0.1:1").bases == ("https://127.0.0.1:1",)
    assert hosts.endpoint(settings, "127.0.0.1:2").bases == ("https://127.0.0.1:2",)
    assert hosts.tls(settings, "c.corp") == hosts.Tls(
        verify=True, authorities=("/ca.pem",), pairs=(("/me.pem", "/me.key"),)
    )


def test_mirrors_come_first_each_in_its_order():
    settings = hosts.Settings(
        mirrors=("https://one.corp/", "http://two.corp:81/sub"),
        registries={"registry.corp": hosts.Registry(mirrors=("http://127.0.0.1:65001",))},
        certs_dirs=(),
    )
    found = hosts.endpoints(settings, "docker.io")
    assert [(one.bases[0], one.mirror) for one in found] == [
        ("https://one.corp", True),
        ("http://two.corp:81/sub", True),
        ("https://registry-1.docker.io", False),
    ]
    assert [one.host for one in hosts.endpoints(settings, "registry.corp")] == ["127.0.0.1:65001", "registry.corp"]
    assert len(hosts.endpoints(settings, "other.corp")) == 1


def test_a_directory_of_certificates_is_read(tmp_path):
    folder = tmp_path / "registry.corp:5000"
    folder.mkdir()
    for name in ("ca.crt", "me.cert", "me.key", "README"):
        (folder / name).touch()
    found = hosts.tls(hosts.Settings(certs_dirs=(str(tmp_path), str(tmp_path / "none"))), "registry.corp:5000")
    assert found == hosts.Tls(authorities=(f"{folder}/ca.crt",), pairs=((f"{folder}/me.cert", f"{folder}/me.key"),))
    assert hosts.tls(hosts.Settings(certs_dirs=(str(tmp_path),)), "registry.corp") == hosts.Tls()


@pytest.mark.parametrize("present", ["me.cert", "me.key"])
def test_half_a_pair_is_named(tmp_path, present):
    folder = tmp_path / "registry.corp"
    folder.mkdir()
    (folder / present).touch()
    with pytest.raises(errors.InvalidInput, match=r"missing .* me.(key|cert)"):
        hosts.tls(hosts.Settings(certs_dirs=(str(tmp_path),)), "registry.corp")


@pytest.mark.parametrize(
    ("url", "rules", "expected"),
    [
        ("https://a.corp/v2/", "", "http://s:1"),
        ("http://a.corp/v2/", "", "http://p:1"),
        ("https://127.0.0.1:5000/", "", ""),
        ("https://localhost/", "", ""),
        ("https://a.corp/", "*", ""),
        ("https://a.corp/", "b.corp,a.corp", ""),
        ("https://a.corp/", "b.corp, corp", ""),
        ("https://a.corp/", ".corp", ""),
        ("https://corp/", ".corp", "http://s:1"),
        ("https://a.corp/", "*.corp", ""),
        ("https://acorp/", "corp", "http://s:1"),
        ("https://a.corp:5000/", "a.corp:5000", ""),
        ("https://a.corp:5001/", "a.corp:5000", "http://s:1"),
        ("https://a.corp/", "a.corp:443", ""),
        ("https://10.1.1.1/", "10.0.0.0/8", ""),
        ("https://11.1.1.1/", "10.0.0.0/8", "http://s:1"),
    ],
)
def test_which_hosts_are_asked_through_a_proxy(url, rules, expected):
    settings = hosts.Settings(http_proxy="http://p:1", https_proxy="http://s:1", no_proxy=rules)
    assert proxies.proxy_for(settings, url, {}) == expected


def test_the_environments_proxy_counts_where_none_is_configured():
    environment = {"https_proxy": "s:1", "HTTP_PROXY": "http://p:1", "NO_PROXY": "b.corp"}
    assert proxies.proxy_for(hosts.Settings(), "https://a.corp", environment) == "http://s:1"
    assert proxies.proxy_for(hosts.Settings(), "https://b.corp", environment) == ""
    assert (
        proxies.proxy_for(hosts.Settings(https_proxy="http://own:1"), "https://a.corp", environment) == "http://own:1"
    )


def test_a_proxy_is_shown_without_its_password():
    assert proxies.shown("http://me:secret@proxy:3128/") == "http://proxy:3128"


@pytest.mark.parametrize(
    ("base", "location", "expected"),
    [
        ("https://a.corp/v2/x", "/y?z#f", "https://a.corp/y?z"),
        ("https://a.corp/v2/x", "https://b.corp/y", "https://b.corp/y"),
        ("http://a.corp/v2/x", "https://b.corp/y", "https://b.corp/y"),
        ("http://a.corp/v2/x", "http://b.corp/y", "http://b.corp/y"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:2/y", "http://127.0.0.1:2/y"),
    ],
)
def test_what_a_registry_names_may_be_gone_to(base, location, expected):
    assert places.resolve(base, location) == expected


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("", "no URL"),
        ("http://a.corp/y", "without TLS"),
        ("file:///etc/shadow", "'file'"),
        ("gopher://b.corp", "'gopher'"),
        ("https://me:pw@b.corp/", "user name"),
        ("https://127.0.0.1/", "only this host"),
        ("https://localhost:1/", "only this host"),
        ("https://[::1]/", "only this host"),
        ("https://169.254.169.254/latest", "only this host"),
        ("https://0.0.0.0/", "only this host"),
        ("https://[::ffff:127.0.0.1]/", "only this host"),
        ("https://b.corp/a b", "no URL"),
        ("https://b.corp/\r\nX: y", "no URL"),
        ("https://b.corp:x/", "no URL"),
        ("x" * 20000, "no URL"),
    ],
)
def test_what_else_it_names_is_refused(location, words):
    with pytest.raises(places.Refused, match=words):
        places.resolve("https://a.corp/v2/x", location)


def test_origins_differ_by_scheme_host_and_port():
    assert places.origin("https://a.corp/x") == places.origin("https://A.corp:443/y")
    assert len({places.origin(url) for url in ("https://a", "http://a", "https://a:1", "https://b")}) == 4


def test_pauses_double_up_to_a_limit_and_end():
    slept = []
    clock = retry.Clock(rest=lambda seconds, cancel: slept.append(seconds), chance=lambda: 1.0, wall=lambda: 0.0)
    backoff = retry.Backoff(retry.Policy(attempts=6, first=1.0, longest=5.0), clock)
    assert [backoff.pause("", None) for _ in range(6)] == [True] * 5 + [False]
    assert slept == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.succeeded()
    assert backoff.pause("", None)


def test_chance_shortens_a_pause_by_at_most_half():
    slept = []
    clock = retry.Clock(rest=lambda seconds, cancel: slept.append(seconds), chance=lambda: 0.0, wall=lambda: 0.0)
    retry.Backoff(retry.Policy(first=1.0), clock).pause("", None)
    assert slept == [0.5]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", 0.0),
        ("7", 7.0),
        ("-7", 0.0),
        ("soon", 0.0),
        ("Thu, 01 Jan 1970 00:01:10 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("9" * 400, 999999999.0),
        ("Thu, 99 Jan 1970 00:00:10 GMT", 0.0),
    ],
)
def test_how_long_a_registry_asks_to_wait(header, expected):
    assert retry.after(header, 60.0) == expected
