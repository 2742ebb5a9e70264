"""The seed layer: identity and environment, where they really belong."""

from __future__ import annotations

from pouch.rich import seeds


def by_path(found):
    files, _ = found
    return {file.path: file for file in files}


def test_machine_id_and_keys_hide_the_images_own(tree, request_for):
    rootfs = tree(
        {
            "/etc/machine-id": "old\n",
            "/etc/ssh/ssh_host_rsa_key": "old",
            "/etc/ssh/ssh_host_rsa_key.pub": "old",
            "/usr/sbin/sshd": "",
            "/var/lib/dbus/machine-id": "old\n",
        }
    )
    files = by_path(seeds.common(request_for(rootfs)))
    assert files["/etc/machine-id"].link == "../run/machine-id"
    assert files["/var/lib/dbus/machine-id"].link == "/etc/machine-id"
    assert files["/etc/ssh/ssh_host_ed25519_key"].mode == 0o600
    assert files["/etc/ssh/ssh_host_rsa_key"].whiteout
    assert files["/etc/ssh/ssh_host_rsa_key.pub"].whiteout


def test_an_image_without_sshd_gets_no_keys_and_without_etc_nothing(tree, request_for):
    assert not [path for path in by_path(seeds.common(request_for(tree({"/etc/ssh/x": ""})))) if "ssh" in path]


def test_an_empty_image_gets_nothing(tree, request_for):
    assert by_path(seeds.common(request_for(tree({}), env=("A=b",)))) == {}


def test_the_environment_goes_where_somebody_reads_it(tree, request_for):
    rootfs = tree({"/etc/pam.d/cron": "", "/etc/profile.d/x": ""})
    files, warnings = seeds.common(request_for(rootfs, env=("A=b", "H=a#b")))
    found = {file.path: file.content for file in files}
    assert b"A=b\n" in found["/etc/environment"]
    assert b"export H='a#b'\n" in found["/etc/profile.d/00-pouch.sh"]
    assert len(warnings) == 1
    assert warnings[0].endswith(": H")


def test_a_container_without_variables_leaves_both_alone(tree, request_for):
    rootfs = tree({"/etc/pam.d/cron": "", "/etc/profile.d/x": "", "/etc/environment": "LANG=C\n"})
    assert not {"/etc/environment", "/etc/profile.d/00-pouch.sh"} & set(by_path(seeds.common(request_for(rootfs))))


def test_a_linked_directory_is_written_where_it_leads_inside_the_image(tree):
    rootfs = tree({"/usr/etc/x": ""}, {"/etc": "usr/etc"})
    assert seeds.place(rootfs, "/etc/inittab").path == "/usr/etc/inittab"
    assert seeds.place(rootfs, "/etc/new/deep/file").path == "/usr/etc/new/deep/file"


def test_a_link_out_of_the_image_stays_inside(tree):
    rootfs = tree({"/etc/x": ""}, {"/var": "/../../../etc"})
    assert seeds.place(rootfs, "/var/file").path == "/etc/file"


def test_a_huge_or_odd_environment_file_counts_as_empty(tree):
    rootfs = tree({"/etc/environment": b"x" * (1 << 20), "/etc/dir": None})
    assert seeds.find(rootfs, "/etc/environment") == b""
    assert seeds.find(rootfs, "/etc/dir") == b""
