"""Images: how they are found, what they show, and Docker's rules for their removal."""

from __future__ import annotations

import json
import os
import threading

import pytest

from pouch.image import images
from pouch.spec import digest, errors, reference

RUNNING = images.User("c" * 64, running=True)
STOPPED = images.User("d" * 64)


def removed(store, ref, **options):
    return store.images.remove(ref, **options)


# -- finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ref", ["web", "web:latest", "docker.io/library/web", "docker.io/library/web:latest", "index.docker.io/web"]
)
def test_an_image_is_found_by_each_spelling_of_its_name(store, ref):
    made = store.image("web")
    assert store.images.get(ref).id == made.id


def test_an_image_is_found_by_its_id_and_by_prefixes(store):
    made = store.image("web")
    bare = made.id.removeprefix("sha256:")
    for ref in (made.id, bare, bare[:12], bare[:4], f"sha256:{bare[:7]}"):
        assert store.images.get(ref).id == made.id


def test_a_prefix_shorter_than_four_is_no_id(store):
    made = store.image("web")
    with pytest.raises(errors.NotFound):
        store.images.get(made.id.removeprefix("sha256:")[:3])


def test_a_prefix_of_two_is_ambiguous(store):
    by_start = {}
    number = 0
    while True:
        made = store.image(layers=(str(number),), created=f"20{number % 90 + 10}-01-01T00:00:00Z")
        start = made.id[7:11]
        if start in by_start:
            break
        by_start[start] = made
        number += 1
        assert number < 600, "the ids are always the same: two of the first 600 begin alike"
    with pytest.raises(errors.InvalidInput, match=f"image id {start} is ambiguous: 2 images begin with it"):
        store.images.get(start)


@pytest.mark.parametrize(
    ("ref", "shown"),
    [("nothing", "nothing:latest"), ("a/b:1", "a/b:1"), ("cafe", "cafe:latest"), ("docker.io/library/x", "x:latest")],
)
def test_an_unknown_one_is_dockers_sentence(store, ref, shown):
    with pytest.raises(errors.NotFound) as caught:
        store.images.get(ref)
    assert caught.value.message == f"No such image: {shown}"


@pytest.mark.parametrize("ref", ["", "UPPER", "a b", "x:", "x@sha256:12"])
def test_what_is_no_reference_is_invalid(store, ref):
    with pytest.raises(errors.InvalidInput, match="invalid reference format"):
        store.images.get(ref)


def test_a_name_wins_over_a_prefix_of_an_id(store):
    other = store.image("other")
    name = other.id.removeprefix("sha256:")[:8]
    named = store.image(name, layers=("more",))
    assert store.images.get(name).id == named.id


def test_a_reference_by_digest_with_or_without_a_tag(store):
    given = digest.of_bytes(b"manifest")
    made = store.image("web:1", f"docker.io/library/web@{given}")
    assert store.images.get(f"web@{given}").id == made.id
    assert store.images.get(f"web:7@{given}").id == made.id
    assert made.digests == (f"web@{given}",)
    assert made.tags == ("web:1",)


# -- showing ----------------------------------------------------------------------------------------------------------


def test_what_an_image_says_of_itself(store):
    made = store.image(
        "web:1", "registry.example:5000/x", layers=("a", "b"), config={"Cmd": ["sh"], "Labels": {"a": "b"}}
    )
    assert made.id == digest.of_bytes(made.raw)
    assert made.tags == ("web:1", "registry.example:5000/x:latest")
    assert made.layers == digest.chain_ids([digest.of_bytes(b"a"), digest.of_bytes(b"b")])
    assert (made.size, made.created, made.config.config) == (
        30,
        "2024-01-01T00:00:00Z",
        {"Cmd": ["sh"], "Labels": {"a": "b"}},
    )


def test_the_list_is_newest_first_by_time_and_not_by_spelling(store):
    store.image("old", created="2024-01-01T10:00:00Z", layers=("1",))
    store.image("new", created="2024-01-01T10:30:00+00:00", layers=("2",))
    store.image("middle", created="2024-01-01T12:10:00+02:00", layers=("3",))
    store.image("never", created=None, layers=("4",))
    assert [image.tags[0] for image in store.images.list()] == [
        "new:latest",
        "middle:latest",
        "old:latest",
        "never:latest",
    ]


def test_history_is_newest_first_with_sizes_for_steps_that_have_layers(store):
    steps = [
        {"created": "2024-01-01T00:00:00Z", "created_by": "ADD"},
        {"created": "2024-01-01T00:00:01.5Z", "created_by": "CMD", "empty_layer": True, "comment": "why"},
        {"created_by": "RUN"},
    ]
    made = store.image("web", layers=("a", "b"), history=steps)
    assert store.images.history(made) == [
        {"Id": made.id, "Created": 0, "CreatedBy": "RUN", "Tags": ["web:latest"], "Size": 20, "Comment": ""},
        {"Id": "<missing>", "Created": 1704067201, "CreatedBy": "CMD", "Tags": None, "Size": 0, "Comment": "why"},
        {"Id": "<missing>", "Created": 1704067200, "CreatedBy": "ADD", "Tags": None, "Size": 10, "Comment": ""},
    ]


def test_an_image_without_a_history_has_none(store):
    assert store.images.history(store.image("web", layers=("a", "b"))) == []


def test_names_are_resolved_many_at_once_and_those_of_nothing_are_left_out(store):
    made = store.image("web")
    short = made.id[7:19]
    assert store.images.named(["web", "docker.io/library/web:latest", short, "nosuch", "Wrong/!"]) == {
        "web": made.id,
        "docker.io/library/web:latest": made.id,
        short: made.id,
    }


def test_a_damaged_image_is_listed_named_in_the_error_and_can_be_removed(store):
    made = store.image("web")
    store.images._decoded.clear()
    with open(store.paths.blob(made.id), "wb") as file:
        file.write(b"damaged")
    [listed] = store.images.list()
    assert (listed.id, listed.tags) == (made.id, ("web:latest",))
    with pytest.raises(errors.CorruptData, match="image web: its configuration is damaged"):
        store.images.get("web")
    assert ("Deleted", made.id) in removed(store, "web")
    assert store.images.list() == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"Cmd": "sh"}, "config.Cmd is not strings"),
        ({"Env": [1]}, "config.Env is not strings"),
        ({"User": 5}, "config.User is not a string"),
        ({"Labels": {"a": 1}}, "config.Labels is not strings by name"),
        ({"Volumes": []}, "config.Volumes is not an object"),
    ],
)
def test_a_configuration_of_wrong_types_is_refused(store, config, message):
    with pytest.raises(errors.CorruptData, match=message):
        store.image("web", config=config)
    assert store.images.list() == []


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "image configuration: "),
        (b"{}", "rootfs"),
        (b'{"rootfs":{"type":"tree","diff_ids":[]}}', 'rootfs.type is "tree", expected "layers"'),
        (b'{"rootfs":{"type":"layers","diff_ids":["../../x"]}}', "expected a sha256 digest"),
        (
            json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest.of_bytes(b"")] * 501}}).encode(),
            "501 layers, expected at most 500",
        ),
        (b"[" * 100_000, "image configuration: "),
    ],
)
def test_what_is_no_configuration_is_refused(raw, message):
    with pytest.raises(errors.CorruptData, match=message):
        images.decode_config(raw)


# -- names ------------------------------------------------------------------------------------------------------------


def test_a_tag_moves_from_image_to_image(store):
    first = store.image("web:1")
    second = store.image("other", layers=("x",))
    store.images.tag("other", "web:1")
    assert store.images.get("web:1").id == second.id
    assert store.images.get(first.id).tags == ()
    with pytest.raises(errors.InvalidInput):
        store.images.tag("other", f"web@{first.id}")


# -- removing ---------------------------------------------------------------------------------------------------------


def test_removing_the_only_name_removes_image_layers_and_blob(store):
    made = store.image("web", layers=("a", "b"))
    assert removed(store, "web") == [
        ("Untagged", "web:latest"),
        ("Deleted", made.id),
        *(("Deleted", chain) for chain in sorted(made.layers)),
    ]
    assert os.listdir(store.paths.layers) == []
    assert store.images.content.all() == []
    assert os.listdir(store.paths.tmp) == []


def test_removing_one_of_two_names_keeps_the_image(store):
    made = store.image("web:1", "web:2")
    assert removed(store, "web:1") == [("Untagged", "web:1")]
    assert store.images.get("web:2").id == made.id


def test_layers_another_image_stands_on_stay(store):
    store.image("one", layers=("a", "b"))
    other = store.image("two", layers=("a",))
    assert len(removed(store, "one")) == 3
    assert [row.chain_id for row in store.database.layers()] == list(other.layers)
    assert os.path.isdir(store.paths.layer(other.layers[0]))


def test_digests_of_a_repository_go_with_its_last_tag(store):
    given = f"docker.io/library/web@{digest.of_bytes(b'm')}"
    made = store.image("web:1", "web:2", given)
    assert removed(store, "web:1") == [("Untagged", "web:1")]
    assert removed(store, "web:2")[:3] == [
        ("Untagged", "web:2"),
        ("Untagged", reference.Reference.parse(given).familiar()),
        ("Deleted", made.id),
    ]


def test_by_id_all_names_of_one_repository_go(store):
    made = store.image("web:1", f"docker.io/library/web@{digest.of_bytes(b'm')}")
    kinds = [kind for kind, _ in removed(store, made.id[7:19])]
    assert kinds == ["Untagged", "Untagged", "Deleted", "Deleted"]


@pytest.mark.parametrize("names", [("web:1", "web:2"), ("web", "other")])
def test_by_id_several_names_need_force(store, names):
    made = store.image(*names)
    with pytest.raises(errors.Conflict) as caught:
        removed(store, made.id)
    assert caught.value.message == (
        f"conflict: unable to delete {made.id[7:19]} (must be forced) - image is referenced in multiple repositories"
    )
    assert len(removed(store, made.id, force=True)) == 4


def test_a_name_in_use_needs_force(store):
    made = store.image("web")
    for user in (RUNNING, STOPPED):
        with pytest.raises(errors.Conflict) as caught:
            removed(store, "web", in_use={made.id: [user]})
        assert caught.value.message == (
            f'conflict: unable to remove repository reference "web" (must force) - container {user.id[:12]} '
            f"is using its referenced image {made.id[7:19]}"
        )
    assert store.images.get("web").id == made.id


def test_a_second_name_goes_though_the_image_is_in_use(store):
    made = store.image("web:1", "web:2")
    assert removed(store, "web:1", in_use={made.id: [RUNNING]}) == [("Untagged", "web:1")]


@pytest.mark.parametrize("user", [RUNNING, STOPPED])
def test_a_forced_name_goes_and_the_image_its_container_needs_stays(store, user):
    made = store.image("web")
    use = store.use(made, user)
    assert removed(store, "web", force=True, in_use=use) == [("Untagged", "web:latest")]
    assert store.images.get(made.id).tags == ()
    assert os.path.isdir(store.paths.layer(made.layers[0]))
    assert store.database.delete_container(user.id) == (made.id,)
    store.images.collector.collect()
    assert os.listdir(store.paths.layers) == store.images.content.all() == []


@pytest.mark.parametrize("force", [False, True])
def test_by_id_a_running_container_cannot_be_overruled(store, force):
    made = store.image("web")
    with pytest.raises(errors.Conflict) as caught:
        removed(store, made.id, force=force, in_use={made.id: [STOPPED, RUNNING]})
    assert caught.value.message == (
        f"conflict: unable to delete {made.id[7:19]} (cannot be forced) - image is being used by running container {RUNNING.id[:12]}"
    )


def test_by_id_a_stopped_container_needs_force_and_keeps_the_image(store):
    made = store.image("web")
    use = store.use(made, STOPPED)
    with pytest.raises(errors.Conflict) as caught:
        removed(store, made.id, in_use=use)
    assert caught.value.message == (
        f"conflict: unable to delete {made.id[7:19]} (must be forced) - image is being used by stopped container {STOPPED.id[:12]}"
    )
    assert removed(store, made.id, force=True, in_use=use) == [("Untagged", "web:latest")]
    with pytest.raises(errors.Conflict, match=r"\(cannot be forced\) - image is being used by stopped container"):
        removed(store, made.id, force=True, in_use=use)


def test_an_unknown_image_cannot_be_removed(store):
    with pytest.raises(errors.NotFound, match="No such image: web:latest"):
        removed(store, "web")


@pytest.mark.parametrize("moment", ["take_unused", "remove_image"])
def test_an_image_added_while_it_is_removed_is_whole(store, monkeypatch, moment):
    made = store.image("web")
    real = getattr(store.database, moment)
    once = []

    def meanwhile(*arguments, **options):
        if not once:
            once.append(threading.Thread(target=store.images.add, args=(made.raw, ["docker.io/library/web:again"])))
            once[0].start()
            once[0].join(0.3)  # it gets as far as it can while the removal is half done
        return real(*arguments, **options)

    with store.images.lease(made.layers):
        monkeypatch.setattr(store.database, moment, meanwhile)
        removed(store, "web")
        once[0].join()
        store.images._decoded.clear()
        assert store.images.get("web:again").raw == made.raw


# -- at the daemon's start --------------------------------------------------------------------------------------------


def test_tidy_deletes_what_was_unfinished_and_what_nobody_uses(store):
    kept = store.image("kept", layers=("a",))
    dropped = store.image("dropped", layers=("a", "b"))
    store.database.delete_image(dropped.id)
    stray = store.images.content.put(b"stray")
    os.makedirs(f"{store.paths.tmp}/layer-1/fs/deep")
    with open(f"{store.paths.tmp}/blob-1", "w"):
        pass
    os.makedirs(f"{store.paths.layers}/{'f' * 64}/fs")
    os.makedirs(store.paths.skeleton)
    store.images.tidy()
    assert os.listdir(store.paths.tmp) == []
    assert store.images.content.all() == [kept.id]
    assert stray != kept.id
    assert sorted(os.listdir(store.paths.layers)) == sorted([kept.layers[0].removeprefix("sha256:"), "skeleton"])


def test_a_leased_layer_is_not_collected(store):
    made = store.image("web", layers=("a", "b"))
    store.database.delete_image(made.id)
    with store.images.lease(made.layers):
        assert store.images.collector.collect().layers == ()
        assert os.path.isdir(store.paths.layer(made.layers[1]))
    assert os.listdir(store.paths.layers) == []


def test_a_lease_held_twice_holds_until_both_let_go(store):
    made = store.image("web", layers=("a",))
    store.database.delete_image(made.id)
    with store.images.lease(made.layers):
        with store.images.lease(made.layers):
            pass
        assert os.path.isdir(store.paths.layer(made.layers[0]))
    assert os.listdir(store.paths.layers) == []
