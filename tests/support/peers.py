"""Other engines, each with a root of its own below a test's directory: what they load, save, push and pull, and the files they make of it.

    with peers.Podman(home) as peer:
        peer.load(path, peers.DOCKER_ARCHIVE)        names in the archive are kept
        with peer.tree("interchange/nasty:1") as top: ...
        peer.push("127.0.0.1:5000/a/x:1", ...)

`Peer.missing()` says why one cannot be used here. None has a hand in the host's network or touches its usual directories.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import time

import zstandard

DOCKER_ARCHIVE = "docker-archive"
OCI_ARCHIVE = "oci-archive"
START_SECONDS = 60.0
SECONDS = 120.0


class Failed(AssertionError):
    """A peer's command failed."""


def canonical(ref):
    """A name with its registry."""
    first = ref.partition("/")[0]
    return ref if "." in first or ":" in first else f"docker.io/{ref}"


def run(argv, *, environment=None, cwd=None):
    """Run a command to its end: what it wrote. Failed with its words where it fails."""
    done = subprocess.run(
        argv,
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@contextlib.contextmanager
def overlay(layers, home):
    """Layers in overlay's form, top first, mounted for reading; the directory."""
    empty, target = os.path.join(home, "empty"), os.path.join(home, "merged")
    for path in (empty, target):
        os.makedirs(path, exist_ok=True)
    # one directory alone cannot be mounted for reading only
    run(["mount", "-t", "overlay", "-o", f"ro,lowerdir={':'.join([*layers, empty])}", "overlay", target])
    try:
        yield target
    finally:
        run(["umount", target])


def unpack_zstd(layout):
    """Make the layers of an OCI layout that zstd packed plain tars: umoci knows no zstd."""

    def read(of):
        with open(f"{layout}/blobs/{of.replace(':', '/')}", "rb") as file:
            return file.read()

    def write(data):
        made = f"sha256:{hashlib.sha256(data).hexdigest()}"
        with open(f"{layout}/blobs/{made.replace(':', '/')}", "wb") as file:
            file.write(data)
        return {"digest": made, "size": len(data)}

    with open(f"{layout}/index.json", encoding="utf-8") as file:
        index = json.load(file)
    for entry in index["manifests"]:
        manifest = json.loads(read(entry["digest"]))
        for layer in manifest["layers"]:
            if layer["mediaType"].endswith("+zstd"):
                data = zstandard.ZstdDecompressor().decompressobj().decompress(read(layer["digest"]))
                layer |= {"mediaType": layer["mediaType"].removesuffix("+zstd"), **write(data)}
        entry.update(write(json.dumps(manifest).encode()))
    with open(f"{layout}/index.json", "w", encoding="utf-8") as file:
        json.dump(index, file)


class Peer:
    """One engine. reads, writes: formats of archives; pushes: manifests and how layers are packed, as its command line says it."""

    name = ""
    programs = ()
    reads = (DOCKER_ARCHIVE, OCI_ARCHIVE)
    writes = (DOCKER_ARCHIVE, OCI_ARCHIVE)
    pushes = (("v2s2", "gzip"), ("oci", "gzip"), ("oci", "zstd"))
    keeps_root = True
    """Whether the root directory of an image has the attributes that the image says."""

    def __init__(self, home):
        self.home = str(home)
        os.makedirs(self.home, exist_ok=True)
        with open(f"{self.home}/auth.json", "w", encoding="ascii") as file:
            file.write("{}")
        self.environment = {**os.environ, "HOME": self.home, "REGISTRY_AUTH_FILE": f"{self.home}/auth.json"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @classmethod
    def missing(cls):
        """Why it cannot be used here; "" where it can."""
        if os.geteuid() != 0:
            return f"{cls.name} needs root"
        return next((f"{program} is not installed" for program in cls.programs if shutil.which(program) is None), "")

    def run(self, *argv):
        return run(list(argv), environment=self.environment)

    def version(self):
        """As it says it."""
        return self.run(self.programs[0], "--version").strip().splitlines()[0]

    def id(self, ref):
        """The image's id; None where it has none of its own."""
        del ref

    def forget(self):
        """Remove all images and what was kept of them."""


class _Apart(Peer):
    """What runs in a mount namespace of its own, with nothing in /var/lib/containers.

    Root's cache of blobs that were seen lies there whatever the configuration says. It is the host's, and makes an engine push other
    blobs than it is told to. Mounts end with the namespace.
    """

    def __enter__(self):
        script = (
            "mkdir -p /var/lib/containers && mount -t tmpfs none /var/lib/containers && echo && exec sleep infinity"
        )
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        if self._holder.stdout.readline() != b"\n":
            self.__exit__()
            raise AssertionError("unshare --mount failed")
        return self

    def __exit__(self, *_):
        self._holder.kill()
        self._holder.wait()
        self._holder.stdout.close()

    def run(self, *argv):
        return super().run("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--", *argv)

    def seen(self, path):
        """A path of that namespace as others reach it."""
        return f"/proc/{self._holder.pid}/root{path}"


class Skopeo(_Apart):
    """skopeo, which has no store, with an OCI layout as one; umoci unpacks."""

    name = "skopeo"
    programs = ("skopeo", "umoci")

    def forget(self):
        shutil.rmtree(f"{self.home}/layouts", ignore_errors=True)

    def _copy(self, source, target, *options):
        self.run("skopeo", "copy", "--quiet", *options, source, target)

    def _layout(self, ref):
        return f"oci:{self.home}/layouts/{ref.replace('/', '_').replace(':', '_')}:it"

    def load(self, path, kind, ref):
        os.makedirs(f"{self.home}/layouts", exist_ok=True)
        self._copy(f"{kind}:{path}", self._layout(ref))

    def save(self, ref, path, kind):
        self._copy(self._layout(ref), f"{kind}:{path}:{ref}")

    def tag(self, ref, new):
        self._copy(self._layout(ref), self._layout(new))

    def push(self, ref, *, manifest="oci", packing="gzip"):
        options = ("--dest-tls-verify=false", "--format", manifest, "--dest-compress-format", packing)
        # plain layers are packed on their way, packed ones are not packed anew: so they come from an archive of plain ones
        plain = f"{self.home}/plain.tar"
        self.save(ref, plain, DOCKER_ARCHIVE)
        self._copy(f"{DOCKER_ARCHIVE}:{plain}", f"docker://{ref}", *options)
        os.unlink(plain)

    def pull(self, ref):
        os.makedirs(f"{self.home}/layouts", exist_ok=True)
        self._copy(f"docker://{ref}", self._layout(ref), "--src-tls-verify=false")

    @contextlib.contextmanager
    def tree(self, ref):
        layout, bundle = f"{self.home}/unpacked", f"{self.home}/bundle"
        shutil.copytree(self._layout(ref).split(":")[1], layout)
        unpack_zstd(layout)
        self.run("umoci", "unpack", "--image", f"{layout}:it", bundle)
        try:
            yield f"{bundle}/rootfs"
        finally:
            shutil.rmtree(bundle)
            shutil.rmtree(layout)


class _Storage(_Apart):
    """What podman and buildah share: containers' storage."""

    keeps_root = False  # always 0555

    def __init__(self, home):
        super().__init__(home)
        path = f"{self.home}/storage.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f'[storage]\ndriver = "overlay"\ngraphroot = "{self.home}/graph"\nrunroot = "{self.home}/run"\n')
        with open(f"{self.home}/containers.conf", "w", encoding="utf-8") as file:
            file.write(f'[engine]\ntmp_dir = "{self.home}/tmp"\nevents_logger = "none"\ncgroup_manager = "cgroupfs"\n')
        with open(f"{self.home}/policy.json", "w", encoding="utf-8") as file:
            file.write('{"default":[{"type":"insecureAcceptAnything"}]}')
        with open(f"{self.home}/registries.conf", "w", encoding="utf-8") as file:
            file.write('unqualified-search-registries = ["docker.io"]\nshort-name-mode = "permissive"\n')
        self.environment |= {
            "CONTAINERS_STORAGE_CONF": path,
            "CONTAINERS_CONF": f"{self.home}/containers.conf",
            "CONTAINERS_REGISTRIES_CONF": f"{self.home}/registries.conf",
        }

    def forget(self):
        self.run(self.programs[0], "rmi", "--all", "--force")

    def id(self, ref):
        found = self.run(self.programs[0], "inspect", *self.inspected, "--format", self.member, ref)
        return f"sha256:{found.strip().removeprefix('sha256:')}"


class Podman(_Storage):
    """podman."""

    name = "podman"
    programs = ("podman",)
    inspected, member = ("--type", "image"), "{{.Id}}"

    def load(self, path, kind, ref):
        del kind, ref
        self.run("podman", "load", "--quiet", "--input", str(path))

    def save(self, ref, path, kind):
        self.run("podman", "save", "--quiet", "--format", kind, "--output", str(path), canonical(ref))

    def tag(self, ref, new):
        self.run("podman", "tag", ref, new)

    def push(self, ref, *, manifest="oci", packing="gzip"):
        self.run(
            "podman",
            "push",
            "--quiet",
            "--tls-verify=false",
            "--format",
            manifest,
            "--compression-format",
            packing,
            ref,
        )

    def pull(self, ref):
        self.run("podman", "pull", "--quiet", "--tls-verify=false", ref)

    @contextlib.contextmanager
    def tree(self, ref):
        yield self.seen(self.run("podman", "image", "mount", ref).strip())
        self.run("podman", "image", "unmount", "--force", ref)


class Buildah(_Storage):
    """buildah."""

    name = "buildah"
    programs = ("buildah",)
    inspected, member = ("--type", "image"), "{{.FromImageID}}"
    pushes = (("v2s2", "gzip"), ("oci", "gzip"))  # 1.28 packs by gzip alone

    def load(self, path, kind, ref):
        del ref
        self.run("buildah", "pull", "--quiet", f"{kind}:{path}")

    def save(self, ref, path, kind):
        self.run("buildah", "push", "--quiet", ref, f"{kind}:{path}:{ref}")

    def tag(self, ref, new):
        self.run("buildah", "tag", ref, new)

    def push(self, ref, *, manifest="oci", packing="gzip"):
        del packing
        self.run("buildah", "push", "--quiet", "--tls-verify=false", "--format", manifest, ref, f"docker://{ref}")

    def pull(self, ref):
        self.run("buildah", "pull", "--quiet", "--tls-verify=false", ref)

    @contextlib.contextmanager
    def tree(self, ref):
        working = self.run("buildah", "from", ref).strip()
        yield self.seen(self.run("buildah", "mount", working).strip())
        self.run("buildah", "rm", working)


class _Served(Peer):
    """A peer with a daemon."""

    _process = None

    def _start(self, argv, answers):
        with open(f"{self.home}/log", "ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment, start_new_session=True
            )
        deadline = time.monotonic() + START_SECONDS
        while subprocess.run(answers, env=self.environment, capture_output=True, check=False).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = self._log()
                self.__exit__()
                raise AssertionError(f"{argv[0]} did not start:\n{words}")
            time.sleep(0.1)
        return self

    def _log(self):
        with open(f"{self.home}/log", encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]

    def __exit__(self, *_):
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Docker(_Served):
    """dockerd, with the containerd that it starts itself."""

    name = "docker"
    programs = ("dockerd", "docker", "containerd")
    reads = (DOCKER_ARCHIVE,)
    writes = (DOCKER_ARCHIVE,)
    pushes = (("v2s2", "gzip"),)

    def __enter__(self):
        with open(f"{self.home}/daemon.json", "w", encoding="ascii") as file:
            file.write("{}")
        self.environment |= {"DOCKER_HOST": f"unix://{self.home}/sock", "DOCKER_CONFIG": f"{self.home}/config"}
        return self._start(
            [
                "dockerd",
                f"--config-file={self.home}/daemon.json",
                f"--data-root={self.home}/data",
                f"--exec-root={self.home}/exec",
                f"--pidfile={self.home}/pid",
                f"--host=unix://{self.home}/sock",
                "--storage-driver=overlay2",
                "--exec-opt=native.cgroupdriver=cgroupfs",
                "--bridge=none",
                "--iptables=false",
                "--ip-forward=false",
                "--ip-masq=false",
            ],
            ["docker", "version"],
        )

    def version(self):
        return f"docker {self.run('docker', 'version', '--format', '{{.Server.Version}}').strip()}"

    def id(self, ref):
        return self.run("docker", "image", "inspect", "--format", "{{.Id}}", ref).strip()

    def forget(self):
        for id in dict.fromkeys(self.run("docker", "images", "-aq").split()):
            self.run("docker", "rmi", "-f", id)

    def load(self, path, kind, ref):
        del kind, ref
        self.run("docker", "load", "--quiet", "--input", str(path))

    def save(self, ref, path, kind):
        del kind
        self.run("docker", "save", "--output", str(path), ref)

    def tag(self, ref, new):
        self.run("docker", "tag", ref, new)

    def push(self, ref, *, manifest="v2s2", packing="gzip"):
        del manifest, packing
        self.run("docker", "push", "--quiet", ref)

    def pull(self, ref):
        self.run("docker", "pull", "--quiet", ref)

    @contextlib.contextmanager
    def tree(self, ref):
        data = json.loads(self.run("docker", "image", "inspect", ref))[0]["GraphDriver"]["Data"]
        lower = data.get("LowerDir")
        with overlay([data["UpperDir"], *([lower] if lower else [])], self.home) as top:
            yield top


class Containerd(_Served):
    """containerd by `ctr`."""

    name = "containerd"
    programs = ("containerd", "ctr")
    writes = (OCI_ARCHIVE,)
    pushes = (("v2s2", "gzip"),)  # it imports Docker's archive with Docker's types and pushes what it has

    def __enter__(self):
        with open(f"{self.home}/config.toml", "w", encoding="ascii") as file:
            file.write(
                f'version = 2\nroot = "{self.home}/root"\nstate = "{self.home}/state"\n'
                'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
                f'[grpc]\naddress = "{self.home}/sock"\n[ttrpc]\naddress = "{self.home}/ttrpc"\n'
            )
        self.environment["CONTAINERD_ADDRESS"] = f"{self.home}/sock"
        return self._start(["containerd", "--config", f"{self.home}/config.toml"], ["ctr", "version"])

    def version(self):
        return " ".join(self.run("containerd", "--version").split()[:3])

    def forget(self):
        if names := self.run("ctr", "images", "ls", "-q").split():
            self.run("ctr", "images", "rm", "--sync", *names)

    def load(self, path, kind, ref):
        del kind, ref
        self.run("ctr", "images", "import", str(path))

    def save(self, ref, path, kind):
        del kind
        self.run("ctr", "images", "export", str(path), canonical(ref))

    def tag(self, ref, new):
        self.run("ctr", "images", "tag", canonical(ref), canonical(new))

    def push(self, ref, *, manifest="", packing=""):
        del manifest, packing
        self.run("ctr", "images", "push", "--plain-http", ref)

    def pull(self, ref):
        self.run("ctr", "images", "pull", "--plain-http", ref)

    @contextlib.contextmanager
    def tree(self, ref):
        target = f"{self.home}/mounted"
        os.makedirs(target, exist_ok=True)
        self.run("ctr", "images", "mount", canonical(ref), target)
        try:
            yield target
        finally:
            self.run("ctr", "images", "unmount", "--rm", target)


ALL = (Skopeo, Podman, Buildah, Docker, Containerd)
