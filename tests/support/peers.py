"""Other engines, each with a root of its own below a test's directory: what they load, save, push and pull, and the files they make of it.

    with peers.Podman(home) as peer:
        peer.load(path, peers.DOCKER_ARCHIVE)        names in the archive are kept
        with peer.tree("interchange/nasty:1") as top: ...
        peer.push("127.0.0.1:5000/a/x:1", ...)

`Peer.missing()` says why one cannot be used here. None has a hand in the host's network or touches its usual directories.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time

DOCKER_ARCHIVE = "docker-archive"
OCI_ARCHIVE = "oci-archive"
START_SECONDS = 60.0
SECONDS = 120.0


def run(argv, *, environment=None, cwd=None):
    """Run a command to its end: what it wrote. AssertionError with its words where it fails."""
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
    assert done.returncode == 0, f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
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


class Peer:
    """One engine. reads, writes: formats of archives; manifests, packings: what it can push, as its command line says it."""

    name = ""
    programs = ()
    reads = (DOCKER_ARCHIVE, OCI_ARCHIVE)
    writes = (DOCKER_ARCHIVE, OCI_ARCHIVE)
    manifests = ("v2s2", "oci")
    packings = ("gzip", "zstd")

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


class Skopeo(Peer):
    """skopeo, which has no store, with an OCI layout as one; umoci unpacks."""

    name = "skopeo"
    programs = ("skopeo", "umoci")

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
        # umoci knows no zstd: plain in between
        plain, bundle = f"{self.home}/unpacked.tar", f"{self.home}/bundle"
        self.save(ref, plain, DOCKER_ARCHIVE)
        self._copy(f"{DOCKER_ARCHIVE}:{plain}", f"oci:{self.home}/unpacked:it")
        self.run("umoci", "unpack", "--image", f"{self.home}/unpacked:it", bundle)
        try:
            yield f"{bundle}/rootfs"
        finally:
            shutil.rmtree(bundle)
            shutil.rmtree(f"{self.home}/unpacked")
            os.unlink(plain)


class _Storage(Peer):
    """What podman and buildah share: containers' storage."""

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

    def __exit__(self, *_):
        # what it left mounted below its graph root would keep the directory from being deleted
        with contextlib.suppress(AssertionError):
            run(["umount", "-l", f"{self.home}/graph/overlay"])


class Podman(_Storage):
    """podman."""

    name = "podman"
    programs = ("podman",)

    def load(self, path, kind, ref):
        del kind, ref
        self.run("podman", "load", "--quiet", "--input", str(path))

    def save(self, ref, path, kind):
        self.run("podman", "save", "--quiet", "--format", kind, "--output", str(path), ref)

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
        yield self.run("podman", "image", "mount", ref).strip()
        self.run("podman", "image", "unmount", "--force", ref)


class Buildah(_Storage):
    """buildah."""

    name = "buildah"
    programs = ("buildah",)
    packings = ("gzip",)  # 1.28 has no option for it

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
        yield self.run("buildah", "mount", working).strip()
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
    manifests = ("v2s2",)
    packings = ("gzip",)

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
        return f"Docker Engine {self.run('docker', 'version', '--format', '{{.Server.Version}}').strip()}"

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
    manifests = ("as it came",)
    packings = ("gzip",)

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

    @staticmethod
    def _canonical(ref):
        return ref if "." in ref.partition("/")[0] else f"docker.io/{ref}"

    def load(self, path, kind, ref):
        del kind, ref
        self.run("ctr", "images", "import", str(path))

    def save(self, ref, path, kind):
        del kind
        self.run("ctr", "images", "export", str(path), self._canonical(ref))

    def tag(self, ref, new):
        self.run("ctr", "images", "tag", self._canonical(ref), self._canonical(new))

    def push(self, ref, *, manifest="", packing=""):
        del manifest, packing
        self.run("ctr", "images", "push", "--plain-http", ref)

    def pull(self, ref):
        self.run("ctr", "images", "pull", "--plain-http", ref)

    @contextlib.contextmanager
    def tree(self, ref):
        target = f"{self.home}/mounted"
        os.makedirs(target, exist_ok=True)
        self.run("ctr", "images", "mount", self._canonical(ref), target)
        try:
            yield target
        finally:
            self.run("ctr", "images", "unmount", "--rm", target)


ALL = (Skopeo, Podman, Buildah, Docker, Containerd)
