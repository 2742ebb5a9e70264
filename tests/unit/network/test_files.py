"""The three files of names."""

from __future__ import annotations

import pytest

from pouch.network import files
from pouch.spec import errors

WEB = files.Names(hostname="0123456789ab")


def lines(text: str) -> list[str]:
    assert text.endswith("\n")
    return text.splitlines()


class TestHosts:
    def test_the_own_name_comes_last_after_the_local_ones(self):
        found = lines(files.hosts(WEB, addresses=["172.30.0.2"]))
        assert found[0] == "127.0.0.1\tlocalhost"
        assert found[1].split() == ["::1", "localhost", "ip6-localhost", "ip6-loopback"]
        assert found[-1] == "172.30.0.2\t0123456789ab"

    def test_with_a_domain_the_full_name_comes_first_and_aliases_once(self):
        names = files.Names(hostname="web", domainname="example.org", aliases=("shop", "web"))
        assert lines(files.hosts(names, addresses=["172.30.0.2"]))[-1] == "172.30.0.2\tweb.example.org web shop"

    def test_without_an_address_there_are_only_local_names(self):
        assert "0123456789ab" not in files.hosts(WEB)

    def test_extra_hosts_stand_before_the_own_name_in_their_order(self):
        text = files.hosts(
            WEB,
            addresses=["172.30.0.2"],
            extra=("db:192.0.2.7", "db:192.0.2.8", "six=[2001:db8::1]", "seven:2001:db8::2"),
        )
        assert lines(text)[-5:] == [
            "192.0.2.7\tdb",
            "192.0.2.8\tdb",
            "2001:db8::1\tsix",
            "2001:db8::2\tseven",
            "172.30.0.2\t0123456789ab",
        ]

    def test_host_gateway_is_the_bridges_gateway(self):
        assert "172.30.0.1\thost.docker.internal\n" in files.hosts(
            WEB, extra=("host.docker.internal:host-gateway",), gateway="172.30.0.1"
        )

    def test_host_gateway_without_a_gateway_is_an_error(self):
        with pytest.raises(errors.InvalidInput, match="unable to derive the IP value for host-gateway"):
            files.hosts(WEB, extra=("h:host-gateway",))

    def test_in_the_hosts_network_the_hosts_own_file_comes_first(self):
        text = files.hosts(WEB, extra=("db:192.0.2.7",), host_text="127.0.0.1 localhost\n10.1.1.1 mine")
        assert text == "127.0.0.1 localhost\n10.1.1.1 mine\n192.0.2.7\tdb\n"

    @pytest.mark.parametrize(
        "text", ["", "db", ":1.2.3.4", "db:", "a b:1.2.3.4", "a\nb:1.2.3.4", "#a:1.2.3.4", "-a:1.2.3.4"]
    )
    def test_a_bad_form_is_refused_with_dockers_sentence(self, text):
        with pytest.raises(errors.InvalidInput, match="bad format for add-host"):
            files.check(extra=(text,))

    @pytest.mark.parametrize(
        "text", ["db:1.2.3", "db:x", "db:1.2.3.4\n6.6.6.6 evil", "db:1.2.3.4 ", "db:fe80::1%a\nb", "db:[::1"]
    )
    def test_a_bad_address_is_refused_and_cannot_bring_a_second_line(self, text):
        with pytest.raises(errors.InvalidInput, match="invalid IP address in add-host"):
            files.check(extra=(text,))


class TestResolvConf:
    HOST = "# mine\nnameserver 192.0.2.53\nnameserver 127.0.0.1\nsearch example.org\noptions edns0\noptions trust-ad\nsortlist 192.0.2.0\n"

    def test_the_hosts_file_is_kept_without_what_a_container_cannot_reach(self):
        assert files.resolv_conf(self.HOST) == (
            "nameserver 192.0.2.53\nsearch example.org\noptions edns0 trust-ad\nsortlist 192.0.2.0\n"
        )

    @pytest.mark.parametrize(
        "server", ["127.0.0.53", "127.1.2.3", "::1", "0.0.0.0", "fe80::1%eth0", "2001:db8::53", "nonsense"]
    )
    def test_without_a_reachable_server_dockers_fallback_is_used(self, server):
        assert files.resolv_conf(f"nameserver {server}\n") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"

    def test_an_empty_file_means_the_fallback(self):
        assert files.resolv_conf("") == "nameserver 8.8.8.8\nnameserver 8.8.4.4\n"

    def test_what_is_given_replaces_the_hosts_part_and_no_other(self):
        assert files.resolv_conf(self.HOST, servers=("9.9.9.9", "127.0.0.1", "2001:db8::1")) == (
            "nameserver 9.9.9.9\nnameserver 127.0.0.1\nnameserver 2001:db8::1\n"
            "search example.org\noptions edns0 trust-ad\nsortlist 192.0.2.0\n"
        )
        assert "search a b\n" in files.resolv_conf(self.HOST, search=("a", "b"))
        assert "options ndots:2\n" in files.resolv_conf(self.HOST, options=("ndots:2",))

    def test_a_dot_means_no_search_domains(self):
        assert "search" not in files.resolv_conf(self.HOST, search=(".",))

    def test_of_several_search_lines_the_last_counts(self):
        assert "search c\n" in files.resolv_conf("search a b\ndomain c\nnameserver 192.0.2.1\n")

    def test_in_the_hosts_network_the_file_is_the_hosts_to_the_byte(self):
        assert files.resolv_conf(self.HOST, host_network=True) == self.HOST

    def test_in_the_hosts_network_a_loopback_server_stays_when_a_part_is_replaced(self):
        text = files.resolv_conf(self.HOST, search=("a",), host_network=True)
        assert "nameserver 127.0.0.1\n" in text
        assert "search a\n" in text

    @pytest.mark.parametrize("server", ["", "dns.example.org", "1.2.3.4\nnameserver 6.6.6.6", "1.2.3.4 "])
    def test_a_server_that_is_no_address_is_refused(self, server):
        with pytest.raises(errors.InvalidInput, match="is not an ip address"):
            files.resolv_conf("", servers=(server,))

    @pytest.mark.parametrize("word", ["", "a b", "a\nnameserver 6.6.6.6"])
    def test_a_word_with_a_space_or_line_break_is_refused(self, word):
        with pytest.raises(errors.InvalidInput, match="invalid DNS search domain"):
            files.check(search=(word,))
        with pytest.raises(errors.InvalidInput, match="invalid DNS option"):
            files.check(options=(word,))

    def test_the_stub_of_systemd_resolved_is_looked_behind(self, tmp_path, monkeypatch):
        stub, upstream = tmp_path / "resolv.conf", tmp_path / "upstream"
        stub.write_text("nameserver 127.0.0.53\noptions edns0\n")
        monkeypatch.setattr(files, "_RESOLV_CONF", str(stub))
        monkeypatch.setattr(files, "_RESOLVED_UPSTREAM", str(upstream))
        assert files.host_resolv_conf() == stub.read_text()
        upstream.write_text("nameserver 192.0.2.53\n")
        assert files.host_resolv_conf() == upstream.read_text()
        assert files.host_resolv_conf(host_network=True) == stub.read_text()
        assert files.host_servers() == ("192.0.2.53",)
        stub.write_text("nameserver 127.0.0.53\nnameserver 192.0.2.1\n")
        assert files.host_resolv_conf() == stub.read_text()

    def test_a_host_without_the_file_is_no_error(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "_RESOLV_CONF", str(tmp_path / "missing"))
        assert files.host_resolv_conf() == ""


def test_hostname_is_one_line():
    assert files.hostname("web") == "web\n"
