"""The names of all commands, without importing any: name -> (module below `commands`, summary)."""

from __future__ import annotations

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
    "stop": ("stop", "Stop one or more running containers"),
    "unpause": ("unpause", "Unpause all processes within one or more containers"),
    "wait": ("wait", "Block until one or more containers stop, then print their exit codes"),
}

OTHERS: Entries = {
    "events": ("events", "Get real time events from the server"),
    "history": ("history", "Show the history of an image"),
    "import": ("image_import", "Import the contents from a tarball to create a filesystem image"),
    "info": ("info", "Display system-wide information"),
    "inspect": ("inspect", "Return low-level information on containers, images, networks and volumes"),
    "load": ("load", "Load an image from a tar archive or STDIN"),
    "rmi": ("rmi", "Remove one or more images"),
    "save": ("save", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    "tag": ("tag", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
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
            "ps": ("ps", ""),
        },
    ),
    "image": (
        "Manage images",
        {
            "bootstrap": ("image_bootstrap", "Make an image of a Debian suite or of busybox on this host"),
            "history": OTHERS["history"],
            "import": OTHERS["import"],
            "inspect": ("image_inspect", "Display detailed information on one or more images"),
            "load": OTHERS["load"],
            "ls": ("images", "List images"),
            "list": ("images", ""),
            "prune": ("image_prune", "Remove unused images"),
            "pull": COMMON["pull"],
            "push": COMMON["push"],
            "rm": ("rmi", "Remove one or more images"),
            "remove": ("rmi", ""),
            "save": OTHERS["save"],
            "tag": OTHERS["tag"],
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
    "system": (
        "Manage the daemon and the host",
        {
            "df": ("system_df", "Show disk usage"),
            "doctor": COMMON["doctor"],
            "events": OTHERS["events"],
            "info": OTHERS["info"],
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

TOP: Entries = {**COMMON, **CONTAINERS, **OTHERS}


def listing(entries: Entries) -> str:
    """The lines of a help text; entries without a summary are aliases and not shown."""
    shown = {name: summary for name, (_, summary) in entries.items() if summary}
    width = max(len(name) for name in shown) + 2
    return "\n".join(f"  {name:<{width}}{summary}" for name, summary in shown.items())
