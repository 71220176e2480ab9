"""The probes on this machine, which has none of the walls: each sees that it is open."""

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from compose_file import ROOT

from sandbox.probes import facts, reach, texts, tries

PROBES = ROOT / "scripts/sandbox/probes"
MOUNTINFO = """\
73 49 0:39 / / ro,relatime master:2 - overlay overlay rw,lowerdir=/l
76 73 0:44 / /tmp rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=65536k,mode=1777
77 73 0:45 / /with\\040space ro - tmpfs tmpfs rw
78 73 0:46 / /tmp rw,relatime shared:5 - tmpfs tmpfs rw,size=1g
"""
STATUS = """\
Name:	python
Uid:	10001	10001	10001	0
Gid:	10001	10001	10001	10001
Groups:	10006 0
CapInh:	0000000000000000
CapPrm:	0000000000000000
CapEff:	00000000a80425fb
CapBnd:	0000000000000000
CapAmb:	0000000000000000
NoNewPrivs:	0
Seccomp:	2
Seccomp_filters:	1
"""
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max core file size        0                    unlimited            bytes
Max open files            1024                 4096                 files
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0B00007F:9FE3 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10001
   2: 020014AC:1F90 030014AC:C350 01 00000000:00000000 00:00000000 00000000 10001
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:0FA1 00000000000000000000000000000000:0000 0A 00000000
   1: 0000000000000000FFFF0000020014AC:0FA2 00000000000000000000000000000000:0000 0A 00000000
"""


def test_a_process_is_read_with_every_id_and_capability() -> None:
    read = facts.process(STATUS)
    assert read["name"] == "python"
    assert read["users"] == [10001, 10001, 10001, 0]
    assert read["groups"] == [10001] * 4 + [10006, 0]
    assert read["capabilities"]["CapEff"] == 0xA80425FB and read["capabilities"]["CapBnd"] == 0
    assert (read["no_new_privileges"], read["seccomp"]) == (False, 2)


def test_a_kernel_that_has_no_line_for_new_privileges_is_asked_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As gVisor's of 2024, which has none for ambient capabilities either."""
    without = "".join(
        line for line in STATUS.splitlines(True) if not line.startswith(("NoNewPrivs", "CapAmb"))
    )
    for answer in (True, False):
        monkeypatch.setattr(facts, "bound", lambda answer=answer: answer)
        read = facts.process(without)
        assert read["no_new_privileges"] is answer
        assert set(read["capabilities"]) == {"CapInh", "CapPrm", "CapEff", "CapBnd"}


def test_the_kernel_here_has_a_version_and_a_name_for_its_start() -> None:
    told = json.loads(run(sys.executable, str(PROBES / "kernel.py")))
    assert told["version"] == Path("/proc/version").read_text().strip()
    assert told["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_mounts_are_read_as_they_lie_on_top_with_all_their_options() -> None:
    read = {one["at"]: one for one in facts.mounts(MOUNTINFO)}
    assert set(read) == {"/", "/tmp", "/with space"}
    assert read["/"]["options"] == ["ro", "relatime", "rw", "lowerdir=/l"]
    assert read["/tmp"]["options"] == ["rw", "relatime", "rw", "size=1g"]


@pytest.mark.parametrize(
    ("text", "is_read_as"),
    [
        ("64\n", 64),
        ("max\n", None),
        ("-1\n", None),
        ("50000 100000\n", 50000),
        ("max 100000\n", None),
        ("9223372036854771712\n", None),
    ],
)
def test_a_limit_of_either_version_of_the_control_groups_is_read(
    text: str, is_read_as: int | None
) -> None:
    assert facts.limit(text) == is_read_as


def cgroup(root: Path, **files: str) -> str:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


def test_the_limits_of_version_1_and_2_are_found_and_swap_is_what_is_beyond_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "has_swap", lambda: True)
    one = cgroup(
        tmp_path / "1",
        pids__docker__a__pids_DOT_max="64",
        memory__docker__a__memory_DOT_limit_in_bytes="1000",
        memory__docker__a__memory_DOT_memsw_DOT_limit_in_bytes="1500",
        cpu__docker__b__cpu_DOT_cfs_quota_us="-1",
        cpu__cpu_DOT_cfs_quota_us="7",
    )
    said = "9:pids:/docker/a\n8:memory:/docker/a\n3:cpu,cpuacct:/docker/b\n0::/docker/a\n"
    assert facts.limits(said, one) == {"pids": 64, "memory": 1000, "swap": 500, "cpu": None}
    two = cgroup(
        tmp_path / "2",
        docker__a__pids_DOT_max="64",
        docker__a__memory_DOT_max="1000",
        docker__a__memory_DOT_swap_DOT_max="0",
        docker__a__cpu_DOT_max="50000 100000",
    )
    assert facts.limits("0::/docker/a\n", two) == {
        "pids": 64,
        "memory": 1000,
        "swap": 0,
        "cpu": 50000,
    }
    monkeypatch.setattr(facts, "has_swap", lambda: False)
    assert facts.limits("0::/docker/b\n", two) == {"swap": 0}


def test_hard_limits_are_read() -> None:
    assert facts.own_limits(LIMITS) == {"files": 4096, "core": None}


def test_who_listens_is_read_of_both_kinds_of_addresses() -> None:
    assert facts.listening(TCP) == [("127.0.0.11", 40931), ("0.0.0.0", 8080)]
    assert facts.listening(TCP6) == [("::", 4001), ("172.20.0.2", 4002)]


def test_this_machines_own_listener_is_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = facts.listening(Path("/proc/net/tcp").read_text())
        assert ("127.0.0.1", listener.getsockname()[1]) in seen


def test_a_write_a_run_and_a_fill_get_through_where_nothing_stands_against_them(
    tmp_path: Path,
) -> None:
    file = tmp_path / "file"
    file.touch()
    assert tries.outcome(lambda: tries.write(str(tmp_path))) == "OK"
    assert tries.outcome(lambda: tries.write(str(file))) == "OK"
    assert tries.outcome(lambda: tries.fill(str(tmp_path), 2**20)) == "OK"
    assert tries.outcome(lambda: tries.run(str(tmp_path))) == "OK"
    assert list(tmp_path.iterdir()) == [file], "nothing is left behind"


def test_a_refusal_goes_by_the_name_of_its_error(tmp_path: Path) -> None:
    def refuse() -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    assert tries.outcome(refuse) == "EROFS"
    assert tries.outcome(lambda: tries.write(str(tmp_path / "none"))) == "ENOENT"


def test_sockets_are_found_below_a_place_and_the_place_itself(tmp_path: Path) -> None:
    deep = tmp_path / "a/b"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(deep)  # a socket's path may be no longer than 107 bytes
        one.bind("x.sock")
        assert list(tries.sockets([str(tmp_path)])) == [f"{deep}/x.sock"]
        assert list(tries.sockets([f"{deep}/x.sock"])) == [f"{deep}/x.sock"]
    os.chdir(ROOT)


def test_secrets_are_read_with_their_modes_and_what_nobody_gave_is_none(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("bh_" + "k" * 43 + "\n")
    (tmp_path / "short").write_text("no secret")
    (tmp_path / "api-key").chmod(0o400)
    (tmp_path / "short").chmod(0o644)
    (tmp_path / "not-given").symlink_to("/dev/null")
    assert texts.secrets(tmp_path) == {
        "secrets": ["bh_" + "k" * 43],
        "modes": {"api-key": "400", "short": "644"},
    }
    assert texts.secrets(tmp_path / "none") == {"secrets": [], "modes": {}}


async def test_an_open_port_a_closed_one_and_a_name_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in (listener, closed)]
        targets = [("127.0.0.1", port) for port in ports]
        told = await reach.reach(["127.0.0.1"], targets, "localhost", 20)
    assert told["own"] == {"127.0.0.1": "OK"}
    assert told["targets"] == ["OK", "ECONNREFUSED"]
    assert told["name"] == "OK"


def test_a_name_that_nobody_knows_is_an_error_by_name() -> None:
    assert reach.resolve("no-such-name.invalid").startswith("EAI_")


def run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, env=dict(os.environ) | environment, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def test_processes_start_without_end_where_nothing_limits_them() -> None:
    told = json.loads(run(sys.executable, str(PROBES / "runs.py"), "5"))
    assert told["processes"] == {"control": "OK", "attempt": "OK", "count": 5}
    assert told["user namespace"]["control"] == "OK"


def test_a_shell_tells_the_same_by_statuses() -> None:
    lines = run("sh", str(PROBES / "runs.sh"), "5").splitlines()
    assert lines[0].startswith("user-namespace 0 ")
    assert lines[1:] == ["1", "2", "3", "4", "5", "processes 0 0"]


def test_a_shell_without_its_tools_shows_by_its_control_that_it_can_try_nothing(
    tmp_path: Path,
) -> None:
    shell = shutil.which("sh")
    assert shell
    lines = run(shell, str(PROBES / "runs.sh"), "2", PATH=str(tmp_path)).splitlines()
    assert lines[0] == "user-namespace 127 127"
    assert lines[-1].startswith("processes 127 ")
