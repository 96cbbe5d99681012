"""The guard under which all chapters are run, to see that none touches the network, really refuses."""

import os
import subprocess
import sys


def test_the_guard_refuses(guarded):
    script = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    environment = {**os.environ, "PYTHONPATH": str(guarded / "site")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "network use" in done.stderr
    assert "192.0.2.1" in (guarded / "network.log").read_text()
