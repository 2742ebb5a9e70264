"""The names of all commands, without importing any: name -> (module below `commands`, summary)."""

from __future__ import annotations

from pouch.cli import flags

Entries = dict[str, tuple[str, str]]

COMMON: Entries = {
    "run": ("run", "Create and run a new container from an image"),
    "exec": ("exec", "Execute a command in a running container"),
    "ps": ("ps", "List containers"),
    "logs": ("logs", "Fetch the logs of a container"),
    "pull": ("pull", "Download an image from a registry"),
    "push": ("push", "Upload an image to a registry"),
    "top": ("top", "Display the running processes of a container (--tree: by init, app, system services, kits)"),
    "images": ("images", "List images"),
    "login": ("login", "Log in to a registry"),
    "logout": ("logout", "Log out from a registry"),
    "search": ("search", "Search a registry for images"),
    "doctor": ("doctor", "Check this host, say what to do, and mend it with --fix"),
}

CONTAINERS: Entries = {
    "attach": ("attach", "Attach local standard input, output, and error streams to a running container"),
    "commit": ("commit", "Create a new image from a container's changes"),
    "cp": ("cp", "Copy files/folders between a container and the local filesystem"),
    "create": ("create", "Create a new container"),
    "diff": ("diff", "Inspect changes to files or directories on a container's filesystem"),
    "export": ("export", "Export a container's filesystem as a tar archive"),
    "kill": ("kill", "Kill one or more running containers"),
    "pause": ("pause", "Pause all processes within one or more containers"),
    "port": ("port", "List port mappings or a specific mapping for the container"),
    "rename": ("rename", "Rename a container"),
    "restart": ("restart", "Restart one or more containers"),
    "rm": ("rm", "Remove one or more containers"),
    "start": ("start", "Start one or more stopped containers"),
    "stats": ("stats", "Display a live stream of container(s) resource usage statistics"),
    "stop": ("stop", "Stop one or more running containers"),
    "unpause": ("unpause", "Unpause all processes within one or more containers"),
    "update": ("update", "Update configuration of one or more containers"),
    "upgrade": ("upgrade", "Put a container on another image: same id, name, addresses, volumes and options"),
    "wait": ("wait", "Block until one or more containers stop, then print their exit codes"),
}

IMAGES: Entries = {
    "history": ("history", "Show the history of an image"),
    "import": ("image_import", "Import the contents from a tarball to create a filesystem image"),
    "load": ("load", "Load an image from a tar archive or STDIN"),
    "rmi": ("rmi", "Remove one or more images"),
    "save": ("save", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    "tag": ("tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
}

OTHERS: Entries = {
    "completion": ("completion", "Print the completion script of a shell (bash, zsh, fish)"),
    "events": ("events", "Get real time events from the server"),
    "info": ("info", "Display system-wide information"),
    "inspect": ("inspect", "Return low-level information on containers, images, networks and volumes"),
    "updatedaemon": ("daemon_update", "Change the configuration of the daemon while it runs"),
    "version": ("version", "Show the version information of pouch and pouchd"),
}

GROUPS: dict[str, tuple[str, Entries]] = {
    "container": (
        "Manage containers",
        {
            **{name: COMMON[name] for name in ("run", "exec", "logs", "top")},
            **CONTAINERS,
            "inspect": ("container_inspect", "Display detailed information on one or more containers"),
            "ls": ("ps", "List containers"),
            "list": ("ps", ""),
            "prune": ("container_prune", "Remove all stopped containers"),
            "ps": ("ps", ""),
        },
    ),
    "daemon": (
        "Manage the daemon",
        {"update": ("daemon_update", "Change its configuration while it runs")},
    ),
    "image": (
        "Manage images",
        {
            "bootstrap": ("image_bootstrap", "Make an image of a Debian suite or of busybox on this host"),
            "history": IMAGES["history"],
            "import": IMAGES["import"],
            "inspect": ("image_inspect", "Display detailed information on one or more images"),
            "load": IMAGES["load"],
            "ls": ("images", "List images"),
            "list": ("images", ""),
            "prune": ("image_prune", "Remove unused images"),
            "pull": COMMON["pull"],
            "push": COMMON["push"],
            "rm": ("rmi", "Remove one or more images"),
            "remove": ("rmi", ""),
            "save": IMAGES["save"],
            "tag": IMAGES["tag"],
        },
    ),
    "manifest": (
        "Look at images in registries",
        {"inspect": ("manifest_inspect", "Display the manifest that a registry has under a name")},
    ),
    "network": (
        "Manage networks",
        {
            "connect": ("network_connect", "Connect a container to a network"),
            "create": ("network_create", "Create a network"),
            "disconnect": ("network_disconnect", "Disconnect a container from a network"),
            "inspect": ("network_inspect", "Display detailed information on one or more networks"),
            "ls": ("network_ls", "List networks"),
            "list": ("network_ls", ""),
            "prune": ("network_prune", "Remove all unused networks"),
            "rm": ("network_rm", "Remove one or more networks"),
            "remove": ("network_rm", ""),
        },
    ),
    "context": (
        "Manage contexts: daemons by name",
        {
            "create": ("context_create", "Create a context"),
            "export": ("context_export", "Export a context to a tar archive FILE or a tar stream on STDOUT"),
            "import": ("context_import", "Import a context from a tar or zip file"),
            "inspect": ("context_inspect", "Display detailed information on one or more contexts"),
            "list": ("context_ls", ""),
            "ls": ("context_ls", "List contexts"),
            "remove": ("context_rm", ""),
            "rm": ("context_rm", "Remove one or more contexts"),
            "show": ("context_show", "Print the name of the current context"),
            "update": ("context_update", "Update a context"),
            "use": ("context_use", "Set the context that pouch uses"),
        },
    ),
    "system": (
        "Manage the daemon and the host",
        {
            "df": ("system_df", "Show disk usage"),
            "dial-stdio": ("system_dial_stdio", ""),
            "doctor": COMMON["doctor"],
            "events": OTHERS["events"],
            "info": OTHERS["info"],
            "prune": ("system_prune", "Remove unused data"),
        },
    ),
    "volume": (
        "Manage volumes",
        {
            "create": ("volume_create", "Create a volume"),
            "inspect": ("volume_inspect", "Display detailed information on one or more volumes"),
            "ls": ("volume_ls", "List volumes"),
            "list": ("volume_ls", ""),
            "prune": ("volume_prune", "Remove unused local volumes"),
            "rm": ("volume_rm", "Remove one or more volumes"),
            "remove": ("volume_rm", ""),
        },
    ),
}

TOP: Entries = {**COMMON, **CONTAINERS, **IMAGES, **OTHERS}

ABSENT = {
    "build": "Pouch builds no images.\nhint: build with another program, then `pouch load -i FILE`; or `pouch commit` a container.",
    "buildx": "Pouch builds no images.\nhint: build with another program, then `pouch load -i FILE`; or `pouch commit` a container.",
    "compose": "Pouch has no compose of its own.\nhint: docker-compose works with DOCKER_HOST set to the daemon's socket.",
    **dict.fromkeys(
        ("config", "node", "secret", "service", "stack", "swarm"), "Pouch is for one host: it knows no swarm."
    ),
    "remount-lxcfs": "Pouch mounts no lxcfs into containers.",
    "gen-doc": "Pouch has its documents already.\nhint: man pouch-run; docs/reference/cli.md",
    **dict.fromkeys(("checkpoint", "plugin", "trust"), "Pouch has no such objects."),
}
"""Commands that people know from docker and that are not here: what to tell them."""


def paths_of(module: str) -> list[str]:
    """Every way to call a command: `ps`, `container ls`, ..."""
    found = [name for name, (there, _) in TOP.items() if there == module]
    for group, (_, entries) in GROUPS.items():
        found += [f"{group} {name}" for name, (there, _) in entries.items() if there == module]
    return found


def listing(entries: Entries, width: int = 0) -> str:
    """The lines of a help text; entries without a summary are aliases and not shown. width: columns to wrap to, 0 for none."""
    shown = {name: summary for name, (_, summary) in entries.items() if summary}
    column = max(len(name) for name in shown) + 4
    lines = []
    for name, summary in shown.items():
        first, *others = flags.wrap(summary, max(width - column, 30) if width else len(summary))
        lines.append(f"  {name:<{column - 2}}{first}")
        lines += [" " * column + line for line in others]
    return "\n".join(lines)
