"""`scripts/keys.py` and `scripts/audit.py` as a person runs them, against a real retriever."""

import os
import re
import subprocess
import sys
from pathlib import Path

from rig import KEY, running

from bulkhead.audit import head_path
from retriever.settings import RetrieverSettings

ROOT = Path(__file__).parents[2]


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "80"},
    )


def test_a_person_manages_keys_and_checks_the_log(
    settings: RetrieverSettings, tmp_path: Path
) -> None:
    settings.api_key_file.chmod(0o600)
    with running(settings) as api:
        told = ("--url", str(api.base_url), "--key-file", str(settings.api_key_file))
        made = script(
            "keys.py", "create", "acme", "--role", "admin", "--group", "red", "--name", "b", *told
        )
        assert made.returncode == 0, made.stderr
        assert "shown once" in made.stdout
        key_id = re.search(r"key_[0-9a-f]{32}", made.stdout)
        key = re.search(r"bh_[\w-]{43}", made.stdout)
        assert key_id and key
        own_file = tmp_path / "own"
        own_file.write_text(key[0])
        own_file.chmod(0o600)
        own = (*told[:3], str(own_file))
        listed = script("keys.py", "list", *own)
        assert key_id[0] in listed.stdout and key[0] not in listed.stdout
        rotated = script("keys.py", "rotate", key_id[0], *told)
        assert re.search(r"bh_[\w-]{43}", rotated.stdout)
        dead = script("keys.py", "list", *own)
        assert (dead.returncode, "401" in dead.stdout) == (1, True)
        assert script("keys.py", "revoke", key_id[0], *told).returncode == 0
        assert script("keys.py", "revoke", "../documents", *told).returncode == 2
        assert script("keys.py", "revoke", f"key_{'0' * 32}", *told).returncode == 1
        foreign = script("keys.py", "create", "acme", "--role", "king", *told)
        assert (foreign.returncode, "422" in foreign.stdout) == (1, True)
    log = settings.data_dir / "audit.jsonl"
    verified = script("audit.py", "verify", str(log))
    assert (verified.returncode, "as it was written" in verified.stdout) == (0, True)
    assert KEY not in log.read_text() and key[0] not in log.read_text()
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], *lines[2:]]))
    broken = script("audit.py", "verify", str(log))
    assert (broken.returncode, "line 2" in broken.stdout) == (1, True)
    log.write_bytes(b"".join(lines[:-1]))
    shortened = script("audit.py", "verify", str(log))
    assert (shortened.returncode, f"line {len(lines)} is missing" in shortened.stdout) == (1, True)
    assert script("audit.py", "verify", str(tmp_path / "none.jsonl")).returncode == 2
    whole = tmp_path / "audit-2.jsonl"
    whole.write_bytes(b"".join(lines))
    head_path(whole).write_bytes(head_path(log).read_bytes())
    one_of_two = script("audit.py", "verify", str(whole), str(log))
    assert (one_of_two.returncode, "audit.jsonl" in one_of_two.stdout) == (1, True)
    log.write_bytes(b"".join(lines))
    both = script("audit.py", "verify", str(whole), str(log))
    assert (both.returncode, f"{2 * len(lines)} lines in 2 logs" in both.stdout) == (0, True)
