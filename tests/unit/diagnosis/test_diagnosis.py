"""The doctor: the sum of a card's memory, and what is found with the commands it asks replaced."""

import ast
import json
import re
import socket
import sys
from pathlib import Path

import pytest

from bootstrap import ROOT
from diagnosis import checks
from diagnosis.finding import Finding, Level
from diagnosis.vram import GB, QWEN3_4B, Budget, shape_of, vllm_setting

SETTINGS = ROOT / "services/llm/vllm/gpu.yaml"


def test_the_weights_and_the_cache_of_the_default_model_are_what_its_card_says() -> None:
    assert QWEN3_4B.weights == pytest.approx(8.04e9, rel=0.01)  # its safetensors on the hub
    assert QWEN3_4B.token == 2 * 36 * 8 * 128 * 2


@pytest.mark.parametrize(
    ("size", "share", "context", "beside", "fits", "mend"),
    [
        (24, 0.85, 16384, False, True, ""),
        (24, 0.85, 16384, True, True, ""),
        (12, 0.85, 16384, False, False, "set max-model-len"),
        (8, 0.85, 16384, False, False, "choose a smaller model"),
        (24, 0.98, 16384, True, False, "lower gpu-memory-utilization"),
    ],
)
def test_a_card_fits_or_the_mend_is_said(
    size: int, share: float, context: int, beside: bool, fits: bool, mend: str
) -> None:
    budget = Budget(QWEN3_4B, size * GB, share, context, beside)

    assert budget.fits is fits
    assert fits or mend in budget.mend()


def test_what_the_mend_says_would_mend_it() -> None:
    tight = Budget(QWEN3_4B, 14 * GB, 0.85, 65536, False)
    assert not tight.fits
    context = int(tight.mend().split(" to ")[1])
    assert Budget(QWEN3_4B, 14 * GB, 0.85, context, False).fits


def test_a_models_own_config_gives_its_shape(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    told: dict[str, object] = {
        "num_hidden_layers": 36,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    }
    config.write_text(json.dumps(told))
    assert shape_of(config) == QWEN3_4B

    del told["hidden_size"]
    config.write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"config\.json is not that of a plain decoder"):
        shape_of(config)


def test_the_arithmetic_beside_the_settings_is_the_doctors() -> None:
    share = float(vllm_setting(SETTINGS, "gpu-memory-utilization"))
    context = int(vllm_setting(SETTINGS, "max-model-len"))
    budget = Budget(QWEN3_4B, 24 * GB, share, context, True)
    assert budget.fits
    assert 66_000 < budget.tokens < 72_000 and budget.tokens // context == 4


def commands(monkeypatch: pytest.MonkeyPatch, **answers: str | None) -> None:
    """What each command prints, by its first distinctive word."""

    def told(*command: str) -> str | None:
        line = " ".join(command)
        return next((answer for word, answer in answers.items() if word in line), None)

    monkeypatch.setattr(checks, "told", told)


def test_a_clone_that_shares_its_name_with_another_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "told", lambda *command: f"{tmp_path}\n{tmp_path}")
    assert stopped(list(checks.clone(tmp_path, {}))) == []

    monkeypatch.setattr(checks, "told", lambda *command: f"{tmp_path}\n/elsewhere/bulkhead")
    assert stopped(list(checks.clone(tmp_path, {"COMPOSE_PROJECT_NAME": "mine"}))) == [
        "the Compose project mine is that of /elsewhere/bulkhead",
    ]


def stopped(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings if finding.level is Level.STOPS]


def test_without_an_engine_nothing_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    commands(monkeypatch)
    assert stopped(list(checks.engine("bulkhead"))) == ["no Docker engine answers"]


@pytest.mark.parametrize(
    ("server", "compose", "networks", "stops"),
    [
        ("28.1.0", "2.35.0", 5, []),
        ("20.10.24+dfsg1", "2.26.1-4", 5, []),
        ("19.3.1", "2.35.0", 5, ["engine 19.3.1"]),
        ("28.1.0", "2.19.1", 5, ["Compose 2.19.1"]),
        ("28.1.0", None, 5, ["Compose is missing"]),
        ("28.1.0", "2.35.0", 28, ["28 networks on the engine"]),
    ],
)
def test_an_engine_that_would_fail_later_is_named_now(
    monkeypatch: pytest.MonkeyPatch,
    server: str,
    compose: str | None,
    networks: int,
    stops: list[str],
) -> None:
    many = "x " * networks
    answers = {"Server": server, "--short": compose, "project=bulkhead": "", "network": many}
    commands(monkeypatch, **answers)
    assert stopped(list(checks.engine("bulkhead"))) == stops


def test_a_port_that_another_has_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number = listener.getsockname()[1]
        monkeypatch.setattr(checks, "told", lambda *command: "")
        assert checks.port(number).level is Level.STOPS
        monkeypatch.setattr(checks, "told", lambda *command: "0123abcd")
        assert checks.port(number).level is Level.FINE, "the stack itself may have it"


@pytest.mark.parametrize(
    ("listed", "environment", "runtimes", "stops"),
    [
        (None, {}, "{}", ["no NVIDIA GPU is seen"]),
        ("0, NVIDIA L4, 23034, 570.86", {}, '{"nvidia": {}}', []),
        (
            "0, NVIDIA L4, 23034, 570.86",
            {"GPU_DEVICE": "1"},
            '{"nvidia": {}}',
            ["there is no GPU 1"],
        ),
        ("0, NVIDIA L4, 23034, 535.10", {}, '{"nvidia": {}}', ["driver 535.10"]),
        ("0, NVIDIA L4, 23034, 570.86", {}, "{}", ["the engine can hand a GPU to a container"]),
    ],
)
def test_what_a_gpu_lacks_is_named(
    monkeypatch: pytest.MonkeyPatch,
    listed: str | None,
    environment: dict[str, str],
    runtimes: str,
    stops: list[str],
) -> None:
    commands(monkeypatch, **{"nvidia-smi": listed, "Runtimes": runtimes})
    assert stopped(list(checks.gpu("gpu", environment, SETTINGS, None))) == stops


def test_a_model_that_is_not_known_is_a_note_with_what_to_give() -> None:
    finding = checks.memory_of("GPU 0", 24 * GB, "gpu", {"LLM_MODEL": "some/model"}, SETTINGS, None)
    assert finding.level is Level.NOTE and "--config" in finding.mend


def test_the_doctor_reads_under_the_oldest_python_and_needs_no_package() -> None:
    for path in [ROOT / "scripts/doctor.py", *sorted((ROOT / "scripts/diagnosis").glob("*.py"))]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                name = node.module.split(".")[0]
                assert name == "diagnosis" or name in sys.stdlib_module_names, (
                    f"{path.name}: {name}"
                )


@pytest.mark.parametrize(("kind", "stops"), [("x86_64", False), ("aarch64", True)])
def test_vllm_without_a_gpu_is_for_one_kind_of_processor(
    kind: str, stops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: kind)
    found = {finding.level for finding in checks.machine("vllm-cpu", {}) if kind in str(finding)}
    assert (Level.STOPS in found) is stops

    assert not [finding for finding in checks.machine("cpu", {}) if kind in str(finding)]


def test_what_is_estimated_for_other_models_than_those_named_says_so() -> None:
    named = {"LLM_MODEL": "owner/large", "RERANKER_MODEL": "owner/orders", "EMBEDDING_MODEL": ""}
    (note,) = [one for one in checks.machine("cpu", named) if one.level is Level.NOTE]
    assert "not for LLM_MODEL=owner/large, RERANKER_MODEL=owner/orders" in note.what

    assert not [one for one in checks.machine("cpu", {}) if one.level is Level.NOTE]


def test_memory_and_disk_are_reckoned_by_the_profiles_that_are_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def used(profile: str, profiles: str) -> tuple[float, float]:
        said = [one.what for one in checks.machine(profile, {"COMPOSE_PROFILES": profiles})]
        found = [re.search(r"(?:available|engine), ([\d.]+) are used", what) for what in said]
        memory, disk = (float(one[1]) for one in found if one)
        return memory, disk

    monkeypatch.setattr(checks, "told", lambda *command: None)
    # Above what docs/operations.md measured: 2,002 MiB, 412 more in all, and Grafana's limit, 512.
    assert used("cpu", "cpu") == (2.5, 7)
    assert used("cpu", "cpu,tools, observability,quality") == (4, 12)
    assert used("gpu", "cpu,tools") == (11, 36), "the model server that was asked for counts alone"
    monkeypatch.setattr(checks, "available_memory", lambda system: 3 * 2**30)
    for profiles, stops in (("cpu", False), ("cpu,tools,observability,quality", True)):
        found = checks.machine("cpu", {"COMPOSE_PROFILES": profiles})
        assert any(one.level is Level.STOPS and "memory" in one.what for one in found) is stops


def test_a_runtime_for_the_tools_has_to_be_one_of_the_engines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "told", lambda *command: '{"runc": {}, "runsc": {}}')
    assert list(checks.runtime({})) == list(checks.runtime({"TOOL_RUNTIME": ""})) == []
    (there,) = checks.runtime({"TOOL_RUNTIME": "runsc"})
    assert (there.level, there.what) == (Level.FINE, "the engine has the runtime runsc")
    (missing,) = checks.runtime({"TOOL_RUNTIME": "kata"})
    assert missing.level is Level.STOPS and "daemon.json" in missing.mend
    monkeypatch.setattr(checks, "told", lambda *command: None)
    (unknown,) = checks.runtime({"TOOL_RUNTIME": "runsc"})
    assert unknown.level is Level.STOPS
