"""What a client needs in order to use the Hub in the room: addresses and settings, to be copied."""

import socket

import psutil

from ftcourse.engine.messages import message
from ftcourse.room.people import EXAMPLE

CACHE = "ftcourse-room"  # the folder, in the reader's home, that takes the place of the usual cache


def addresses(host: str) -> list[str]:
    """Where the others find this machine, when it listens at `host`.

    >>> addresses("127.0.0.1")
    ['127.0.0.1']
    """
    if host not in ("0.0.0.0", "::", ""):
        return [host]
    found = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family == socket.AF_INET
    ]
    return [address for address in found if not address.startswith(("127.", "169.254."))] or ["127.0.0.1"]


def urls_of(host: str, port: int) -> list[str]:
    """Where the others find what listens at a host and a port.

    >>> urls_of("::1", 8000)
    ['http://[::1]:8000']
    """
    return [f"http://{f'[{one}]' if ':' in one else one}:{port}" for one in addresses(host)]


def client_settings(url: str, token: str = EXAMPLE, home: str = CACHE) -> dict[str, str]:
    """The environment of a client. It has to be set before a Hugging Face library is imported.

    The cache is one of the room's own, so that nothing of the kit is taken for the real model afterwards.

    >>> client_settings("http://127.0.0.1:8000")["HF_ENDPOINT"]
    'http://127.0.0.1:8000'
    """
    return {
        "HF_ENDPOINT": url,
        "HF_HOME": home,
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",  # `evaluate` would ask a server on the internet at every load
    }


def described(url: str, lang: str, token: str = EXAMPLE) -> str:
    """The settings for bash, PowerShell and a notebook's first cell, in the reader's language."""
    settings = client_settings(url, token)
    bash = settings | {"HF_HOME": f"$HOME/{CACHE}"}
    power = settings | {"HF_HOME": f"$HOME\\{CACHE}"}
    quoted = {name: f'"{value}"' for name, value in settings.items()}
    quoted["HF_HOME"] = f'os.path.expanduser("~/{CACHE}")'
    blocks = {
        "for_bash": [f'export {name}="{value}"' for name, value in bash.items()],
        "for_powershell": [f'$env:{name} = "{value}"' for name, value in power.items()],
        "for_notebook": ["import os", *(f'os.environ["{name}"] = {value}' for name, value in quoted.items())],
    }
    return "\n\n".join("\n".join([f"# {message(lang, 'room', key)}", *lines]) for key, lines in blocks.items())
