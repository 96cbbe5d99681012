"""JupyterHub for one server. `make class` starts it; `jupyterhub -f classroom/jupyterhub_config.py` does, too."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from classroom.passwords import ListAuthenticator
from classroom.settings import ROOT, Settings
from classroom.spawner import FencedSpawner

c = get_config()  # noqa: F821
settings = Settings()
settings.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", ""), "FTCOURSE_LANG": settings.lang}
room = f"http://127.0.0.1:{settings.room_port}"

c.JupyterHub.bind_url = f"http://{settings.host}:{settings.port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{settings.hub_port}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings.proxy_port}"
c.ConfigurableHTTPProxy.command = [str(settings.proxy)]
c.JupyterHub.db_url = f"sqlite:///{settings.folder}/jupyterhub.sqlite"
c.JupyterHub.cookie_secret_file = str(settings.folder / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(settings.folder / "proxy.pid")
c.JupyterHub.cleanup_servers = True
c.JupyterHub.concurrent_spawn_limit = 5  # the others wait a moment, and all start sooner

# Who may log in: the names in learners.txt. Schools with accounts of the system: "pam" instead, and no list.
c.JupyterHub.authenticator_class = ListAuthenticator
c.ListAuthenticator.learners = str(settings.learners)
c.ListAuthenticator.passwords = str(settings.folder / "passwords.json")
c.Authenticator.allow_all = True  # whoever is not in the list does not get past the authenticator
c.Authenticator.admin_users = {"teacher"}

# What each learner gets.
c.JupyterHub.spawner_class = FencedSpawner
c.FencedSpawner.folder = str(settings.folder)
c.FencedSpawner.lang = settings.lang
c.FencedSpawner.memory = settings.memory
c.FencedSpawner.processes = settings.processes
c.FencedSpawner.seconds = settings.seconds
c.FencedSpawner.room = room if settings.room_port else ""
c.Spawner.env_keep = ["PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH"]
c.Spawner.default_url = f"/lab/tree/course-{settings.lang}/00_start.ipynb"
c.Spawner.start_timeout = c.Spawner.http_timeout = 180
c.Spawner.args = [
    f"--MappingKernelManager.cull_idle_timeout={settings.idle}",
    "--MappingKernelManager.cull_interval=120",
    "--KernelManager.transport_encryption=auto",  # or else a neighbour could listen to what a kernel says
]

# What nobody uses ends by itself: servers, and kernels in them.
c.JupyterHub.load_roles = [
    {
        "name": "culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["culler"],
    }
]
culler = [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={settings.idle}", "--cull-every=120"]
c.JupyterHub.services = [{"name": "culler", "command": culler, "environment": environment}]

# The Hub in the room, for models and data sets that the class shares.
if settings.room_port:
    hub = [
        sys.executable,
        "-m",
        "ftcourse.cli",
        "hub",
        "--folder",
        str(settings.folder / "room"),
        "--lang",
        settings.lang,
    ]
    hub += ["--host", settings.host or "0.0.0.0", "--port", str(settings.room_port)]
    c.JupyterHub.services.append({"name": "room", "command": hub, "environment": environment})
