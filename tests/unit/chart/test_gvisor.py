"""The parser and the tool server for files do their work under gVisor, which has no network there.

`runsc do` runs them in a sandbox of its own, without an engine: this is what a cluster's
`runtimeClassName: gvisor` puts between them and the node's kernel.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bulkhead.tool_tokens import new_signing_key
from cluster import probe

RUNSC = shutil.which("runsc")
INSIDE = """
import http.client, json, os, socket, subprocess, sys, time

class Local(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = path
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)

def ask(path, method, place, body=None):
    until = time.monotonic() + 120
    while True:
        try:
            connection = Local(path)
            connection.request(method, place, body, {"Content-Type": "text/markdown"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.1)

folder = sys.argv[1]
os.makedirs("/tmp/s")
told = {"MCP_FILESYSTEM_UDS": "/tmp/s/mcp.sock", "MCP_FILESYSTEM_ROOT": folder + "/files",
        "MCP_FILESYSTEM_SIGNING_KEY_FILE": folder + "/key", "PARSER_SOCKETS": "/tmp/s/parser"}
servers = [subprocess.Popen([sys.executable, "-m", name], env=os.environ | told, stdout=2)
           for name in ("mcp_filesystem", "parser")]
seen = {"kernel": open("/proc/version").read(), "files": ask("/tmp/s/mcp.sock", "GET", "/readyz")}
until = time.monotonic() + 120
while not (os.path.isdir("/tmp/s/parser") and (found := os.listdir("/tmp/s/parser"))):
    assert time.monotonic() < until
    time.sleep(0.1)
seen["parser"] = ask("/tmp/s/parser/" + found[0], "POST", "/v1/parse?name=a.md", "# Cranes")
try:
    socket.create_connection(("1.1.1.1", 443), timeout=10)
    seen["network"] = "OK"
except OSError as error:
    seen["network"] = type(error).__name__
for one in servers:
    one.terminate()
print("\\n" + json.dumps(seen))
"""


@pytest.mark.skipif(RUNSC is None, reason="gVisor's runsc is not here")
def test_the_parser_and_the_file_server_work_under_gvisor_and_reach_nobody(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.txt").write_text("cranes")
    (tmp_path / "key").write_text(new_signing_key())
    assert RUNSC
    command = [RUNSC, "--rootless", "--network=none", "do", sys.executable, "-c", INSIDE]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    seen: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    assert seen["kernel"] != Path("/proc/version").read_text(), "it is the machine's own kernel"
    assert seen["files"][0] == 200
    status, body = seen["parser"]
    assert (status, json.loads(body)["title"]) == (200, "Cranes")
    assert seen["network"] != "OK"


@pytest.mark.skipif(RUNSC is None, reason="gVisor's runsc is not here")
def test_the_probe_of_a_cluster_tells_gvisors_kernel_and_that_it_gives_no_new_privileges() -> None:
    assert RUNSC
    told = json.dumps({"targets": [], "names": [], "seconds": 1})
    code = Path(probe.__file__).read_text()
    command = [RUNSC, "--rootless", "--network=none", "do", sys.executable, "-c", code, told]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen = json.loads(done.stdout.strip().splitlines()[-1])
    assert seen["kernel"] not in ("", Path("/proc/version").read_text().strip())
    assert seen["status"]["NoNewPrivs"] == "1"
