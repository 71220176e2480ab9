"""The profile `vllm-cpu`: vLLM in the place of llama.cpp, with a model that came from a hub."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from chart_objects import NAMESPACE, PRODUCTION, of_kind
from compose_file import ROOT
from compose_stack import Stack, queried
from fake_hub import COMMIT, FakeHub, serving
from plain_weights import plain_weights
from promql import PANELS, RECORDED, metrics
from rig import PORTS

QUESTION = "Which port does the embedding service listen on?"
SETTINGS = sorted((ROOT / "services/llm/vllm").glob("*.yaml"))
MODEL_SERVER = ("vllm:", "gen_ai_server_", "llm:")
"""Metrics, by the beginning of their names, of which llama.cpp does not have all."""
SCRAPES = 'count_over_time(up{job="llm"}[1h])'

PARSE = """
import json, sys
from transformers import AutoTokenizer
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.tool_parsers import ToolParserManager
said = 'I look.\\n<tool_call>\\n{"name": "filesystem__read_text", "arguments": {"path": "docs/security.md"}}\\n</tool_call>'
asked = ChatCompletionRequest(messages=[{"role": "user", "content": "?"}])
parser = ToolParserManager.get_tool_parser(sys.argv[1])(AutoTokenizer.from_pretrained("/models/llm"))
read = parser.extract_tool_calls(said, asked)
(call,) = read.tool_calls
print(json.dumps([read.content.strip(), call.function.name, json.loads(call.function.arguments)]))
"""  # noqa: E501 - a program


def bridge() -> str:
    """The host's address as containers see it."""
    gateway = "{{(index .IPAM.Config 0).Gateway}}"
    command = ["docker", "network", "inspect", "bridge", "--format", gateway]
    return subprocess.check_output(command, text=True).strip()


@pytest.fixture(scope="module")
def vllm(stack: Stack) -> Iterator[Stack]:
    """The stack with vLLM at the name `llm`; questions were asked of it, and Prometheus looked."""
    config = json.loads(stack.compose("--profile", "vllm-cpu", "config", "--format", "json"))
    image = config["services"]["llm-vllm-cpu"]["image"]
    standin = image.startswith("standin/")
    if (
        standin
        and subprocess.run(["docker", "image", "inspect", image], capture_output=True).returncode
    ):
        pytest.skip("there is no stand-in for vLLM's image: engine-up --vllm makes it")
    with serving(FakeHub(plain_weights()), bridge()) as hub:
        stack.environment |= {
            "MODEL_HUB": hub.address,
            "LLM_MODEL": "some/model",
            "LLM_REVISION": COMMIT,
        }
        stack.compose("stop", "llm-cpu")
        try:
            profile = ("--profile", "vllm-cpu")
            up = ("up", "--detach", "--wait", "llm-vllm-cpu")
            stack.compose(*profile, *up, seconds=900)
            stack.until(lambda: "some/model" in stack.api.get("/v1/models").text, 300)
            stack.until_ready()
            stack.api.ingest({"text": PORTS, "title": "Ports", "source": "ports.md"})
            for n in range(4):  # a rate needs two scrapes with something between them
                reply = stack.api.ask(f"{QUESTION} ({n})", max_tokens=24)
                assert reply.status_code == 200, reply.text
                seen = queried(stack, SCRAPES)
                stack.until(lambda seen=seen: queried(stack, SCRAPES) != seen, 300)  # type: ignore[misc]
            yield stack
        finally:
            stack.compose(*profile, "rm", "--force", "--stop", "llm-vllm-cpu", "models-vllm-cpu")
            for name in ("MODEL_HUB", "LLM_MODEL", "LLM_REVISION"):
                del stack.environment[name]
            stack.compose("start", "llm-cpu")
            stack.until_ready()


def test_what_the_chart_scales_the_model_by_is_one_number_each_of_the_running_vllm(
    vllm: Stack,
) -> None:
    (scaled,) = of_kind("ScaledObject", PRODUCTION).values()
    asked = {one["name"]: one["metadata"]["query"] for one in scaled["spec"]["triggers"]}
    # In a cluster the series have their namespace; here they are this job's.
    theirs, ours = f'namespace="{NAMESPACE}"', 'job="llm"'
    assert all(theirs in query for query in asked.values())
    numbers = {}
    for name, query in asked.items():
        (only,) = queried(vllm, query.replace(theirs, ours))[0]
        numbers[name] = float(only["value"][1])
    assert numbers["waiting"] >= 0
    assert 0 <= numbers["cache"] <= 100


def test_vllm_knows_every_option_of_both_its_settings_files(vllm: Stack) -> None:
    command = ("exec", "-T", "llm-vllm-cpu", "vllm", "serve", "--help=all")
    options = vllm.compose(*command, seconds=600)
    for path in SETTINGS:
        for key in yaml.safe_load(path.read_text()):
            assert f"--{key} " in options or f"--{key}," in options, f"{path.name}: {key}"


def test_a_question_with_tools_is_taken_by_vllm(vllm: Stack) -> None:
    """The quick model hardly ever calls one: what counts is that vLLM reads our tools."""
    reply = vllm.api.ask(QUESTION, rag={"tools": True}, max_tokens=48)

    assert reply.status_code == 200, reply.text
    told = reply.json()
    assert told["choices"][0]["finish_reason"] in ("stop", "length")
    assert told["usage"]["prompt_tokens"] > 0 and told["usage"]["completion_tokens"] > 0
    assert {"steps", "citations", "grounding"} <= told.keys()


def test_vllm_reads_a_call_with_the_parser_of_both_its_settings_files(vllm: Stack) -> None:
    settings: list[dict[str, Any]] = [yaml.safe_load(path.read_text()) for path in SETTINGS]
    assert all(one["enable-auto-tool-choice"] for one in settings)
    for parser in {one["tool-call-parser"] for one in settings}:
        command = ("exec", "-T", "llm-vllm-cpu", "python3", "-c", PARSE, parser)
        told = json.loads(vllm.compose(*command, seconds=300).splitlines()[-1])
        assert told == ["I look.", "filesystem__read_text", {"path": "docs/security.md"}]


@pytest.mark.parametrize(
    "expr",
    [
        pytest.param(param.values[0], id=param.id)
        for param in (*PANELS, *RECORDED)
        if any(name.startswith(MODEL_SERVER) for name in metrics(str(param.values[0])))
    ],
)
def test_what_panels_and_rules_ask_of_vllm_has_data(vllm: Stack, expr: str) -> None:
    vllm.until(lambda: bool(queried(vllm, expr)[0]), 300)
