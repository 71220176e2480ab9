"""compose.yaml holds every rule for every service, and each rule notices when it is broken."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from compose_file import ROOT, Json, defaults, environment, mounts, rendered, services
from compose_rules import violations

from diagnosis.project import project
from embedded import parts
from fetcher.catalogue import CATALOGUE
from retriever.tool_servers import Signed, read_tool_servers

Break = Callable[[Json], Any]
DOCKERFILES = sorted([*ROOT.glob("services/*/Dockerfile"), *ROOT.glob("mcp_tools/*/Dockerfile")])


def test_every_service_holds_every_rule() -> None:
    assert violations(rendered()) == []


BREAKS: list[tuple[str, Break, str]] = [
    ("retriever", lambda s: s.update(read_only=False), "root is writable"),
    ("retriever", lambda s: s.update(user="0:0"), "runs as root"),
    ("retriever", lambda s: s.pop("user"), "not UID:GID"),
    ("qdrant", lambda s: s.update(cap_drop=[]), "does not drop"),
    ("qdrant", lambda s: s.update(cap_add=["NET_RAW"]), "adds capabilities"),
    ("secrets", lambda s: s.update(cap_add=["CHOWN", "DAC_OVERRIDE"]), "adds capabilities"),
    ("embedding", lambda s: s.update(security_opt=["seccomp=unconfined"]), "security options"),
    ("embedding", lambda s: s.update(privileged=True), "privileged is set"),
    ("embedding", lambda s: s.update(ipc="host"), "ipc is set"),
    ("embedding", lambda s: s.update(tmpfs=["/tmp:size=1m,nosuid,nodev"]), "tmpfs /tmp lacks"),
    ("embedding", lambda s: s.update(tmpfs=["/tmp:noexec,nosuid,nodev"]), "tmpfs /tmp lacks"),
    ("llm-gpu", lambda s: s.update(image="vllm/vllm-openai:latest"), "no tag with a digest"),
    ("retriever", lambda s: s["build"].update(args={"PYTHON_IMAGE": "python:3"}), "base image"),
    ("qdrant", lambda s: s["environment"].pop("http_proxy"), "may ask a proxy: http_proxy"),
    ("grafana", lambda s: s["environment"].update(ALL_PROXY="x"), "may ask a proxy: ALL_PROXY"),
    ("prometheus", lambda s: s.pop("environment"), "may ask a proxy"),
    ("qdrant", lambda s: s.pop("mem_limit"), "no mem_limit"),
    ("qdrant", lambda s: s.update(memswap_limit="4g"), "may swap"),
    ("qdrant", lambda s: s.pop("pids_limit"), "no pids_limit"),
    ("qdrant", lambda s: s.pop("cpus"), "no cpus"),
    ("qdrant", lambda s: s.update(ulimits={"nofile": 5}), "dump core"),
    ("qdrant", lambda s: s.pop("logging"), "log may grow"),
    ("qdrant", lambda s: s.update(dns=["192.0.2.53"]), "name servers of the world"),
    ("ingress", lambda s: s.pop("healthcheck"), "no healthcheck"),
    ("ingress", lambda s: s.pop("init"), "nobody reaps"),
    ("ingress", lambda s: s.update(restart="no"), "restart is"),
    ("models-cpu", lambda s: s.update(restart="always"), "one-shot restarts"),
    ("ingress", lambda s: s.update(ports=["0.0.0.0:8080:8080"]), "bound to 0.0.0.0"),
    ("qdrant", lambda s: s.update(ports=["127.0.0.1:6333:6333"]), "publishes port"),
    ("qdrant", lambda s: s["environment"].update(QDRANT__SERVICE__API_KEY="x"), "like a secret"),
    ("mcp-database", lambda s: s.pop("runtime"), "takes no TOOL_RUNTIME"),
    ("qdrant", lambda s: s.update(runtime="runc"), "a runtime of its own"),
    ("qdrant", lambda s: s["volumes"].append("retriever-secrets:/x:ro"), "secrets of another"),
    ("qdrant", lambda s: s["volumes"].append("secret-masters:/x:ro"), "masters"),
    ("qdrant", lambda s: s["volumes"].append("/var/run/docker.sock:/x"), "of the host"),
    ("llm-cpu", lambda s: s.update(volumes=["models:/models:ro"]), "not mounted nocopy"),
    ("llm-cpu", lambda s: s.update(volumes=["models:/models"]), "can write models"),
    ("qdrant", lambda s: s["networks"].append("egress"), "can leave"),
    ("qdrant", lambda s: s["networks"].append("retriever-llm"), "somebody else is on it"),
    ("qdrant", lambda s: s.update(network_mode="host", networks=[]), "networks of its own"),
    ("secrets", lambda s: s.pop("network_mode"), "needs no network"),
    ("mcp-filesystem", lambda s: s.update(network_mode="bridge"), "needs no network"),
    ("mcp-filesystem", lambda s: s["volumes"].append("models:/m:ro"), "not mounted nocopy"),
    ("mcp-filesystem", lambda s: s["volumes"].append("./docs:/files/docs:ro"), "of the host"),
    ("parser", lambda s: s.pop("network_mode"), "needs no network"),
    ("mcp-database", lambda s: s["networks"].append("retriever-qdrant"), "somebody else is on"),
    ("mcp-database", lambda s: s.update(volumes=["postgres-secrets:/x:ro"]), "of another"),
    ("mcp-database", lambda s: s["environment"].update(PGPASSWORD="x"), "like a secret"),
    (
        "mcp-database",
        lambda s: s["environment"].update(MCP_DATABASE_PASSWORD_DIR="/tmp"),
        "does not lie in /run/secrets",
    ),
    ("postgres", lambda s: s.update(environment={"POSTGRES_PASSWORD": "x"}), "like a secret"),
    ("postgres", lambda s: s.update(group_add=["0"]), "further groups"),
    ("embedding", lambda s: s["volumes"].append("mcp-filesystem-socket:/s:ro"), "not for it"),
    (
        "retriever",
        lambda s: s["volumes"].append("mcp-filesystem-socket:/s:nocopy"),
        "can replace the socket",
    ),
    ("tempo", lambda s: s["volumes"].append("configuration:/x:nocopy"), "what others are told"),
    ("retriever", lambda s: s.update(image="bulkhead/retriever"), "bulkhead/…:PROJECT"),
    ("qdrant", lambda s: s.update(depends_on=["secrets"]), "without conditions"),
    (
        "qdrant",
        lambda s: s.update(depends_on={"secrets": {"condition": "service_started"}}),
        "under service_started",
    ),
]


@pytest.mark.parametrize(("service", "break_it", "words"), BREAKS)
def test_a_broken_rule_is_named_with_its_service(service: str, break_it: Break, words: str) -> None:
    config = rendered()
    break_it(services(config)[service])

    found = violations(config)

    assert any(words in problem for problem in found), found


@pytest.mark.parametrize("change", [{"internal": False}, {"driver_opts": {}}])
def test_a_network_that_leads_out_is_named(change: Json) -> None:
    config = rendered()
    config["networks"]["retriever-qdrant"] |= change

    assert any(problem.startswith("retriever-qdrant: leads") for problem in violations(config))


@pytest.mark.parametrize("options", ["uid=10006,noexec,nosuid,nodev", "size=64k,nosuid,nodev"])
def test_a_socket_whose_folder_is_unbounded_is_named(options: str) -> None:
    config = rendered()
    config["volumes"]["mcp-filesystem-socket"]["driver_opts"]["o"] = options

    assert any(problem.startswith("mcp-filesystem-socket:") for problem in violations(config))


def test_the_retriever_is_told_of_our_tool_servers_as_they_listen() -> None:
    config = services(rendered())
    dockerfile = (ROOT / "services/retriever/Dockerfile").read_text(encoding="utf-8")
    listed = environment(config["retriever"])["RETRIEVER_TOOL_SERVERS_FILE"]
    assert f"COPY mcp_tools/servers.yaml {listed}\n" in dockerfile
    for server in read_tool_servers(ROOT / "mcp_tools/servers.yaml"):
        part = f"mcp-{server.name}"
        told, prefix = environment(config[part]), part.replace("-", "_").upper()
        if "bridge" in config[part]["build"]["dockerfile"]:
            prefix = "MCP_BRIDGE"
            assert told["MCP_BRIDGE_NAME"] == server.name and not server.trusted
        if server.socket:
            assert str(server.socket) == told[f"{prefix}_UDS"]
        else:
            assert str(server.url) == f"http://{told[f'{prefix}_ALLOWED_HOSTS']}/mcp"
        assert isinstance(server.auth, Signed)
        assert str(server.auth.key_file) == f"/run/secrets/{part}-signing-key"
        assert told[f"{prefix}_SIGNING_KEY_FILE"] == "/run/secrets/signing-key"


def test_the_worker_looks_for_the_parser_where_it_listens() -> None:
    config = services(rendered())
    told = environment(config["parser"])["PARSER_SOCKETS"]
    assert environment(config["ingest"])["RETRIEVER_PARSER_SOCKETS"] == told
    assert environment(config["bulk"])["RETRIEVER_PARSER_SOCKETS"] == told
    for name in ("parser", "ingest", "bulk"):
        (mount,) = [one for one in mounts(config[name]) if one.source == "parser-socket"]
        assert mount.target == told


def test_retrievers_and_workers_can_be_several_and_share_a_database_of_their_own() -> None:
    config = services(rendered())
    for name in ("retriever", "ingest"):
        assert not config[name].get("container_name") and not config[name].get("ports")
        told = environment(config[name])
        assert told["RETRIEVER_DATABASE_URL"] == "postgresql://retriever@state:5432/retriever"
    assert set(config["state"]["networks"]) == {"retriever-state"}
    reached = {
        network: name for name, service in config.items() for network in service.get("networks", ())
        if name in ("mcp-database", "sample-database", "postgres")
    }  # fmt: skip
    assert not set(config["state"]["networks"]) & set(reached)
    # What reads strangers' files is reached by who takes them in, and by nobody else.
    assert not any(mount.source == "parser-socket" for mount in mounts(config["retriever"]))
    assert set(config["ingest"]["networks"]) == {
        f"retriever-{one}" for one in ("state", "embedding", "qdrant", "otel-collector")
    }
    assert environment(config["ingest"])["RETRIEVER_HOST"] == "127.0.0.1"
    # A run is started by hand, and Ray's ports are on its loopback: nobody calls it.
    assert config["bulk"]["profiles"] == ["bulk"] and not config["bulk"].get("ports")
    assert set(config["bulk"]["networks"]) < set(config["ingest"]["networks"])
    # An engine has addresses for 31 networks by default, and one is its own.
    chosen = set(defaults()["COMPOSE_PROFILES"].split(","))
    made = [one for one in config.values() if chosen & set(one.get("profiles") or chosen)]
    assert len({network for one in made for network in one.get("networks", ())}) <= 30


def test_one_setting_names_the_runtime_of_the_tool_servers_and_the_parser() -> None:
    told = services(rendered({"TOOL_RUNTIME": "runsc"}))
    under = {name for name, service in told.items() if service.get("runtime") == "runsc"}
    servers = read_tool_servers(ROOT / "mcp_tools/servers.yaml")
    assert under == {"parser", *(f"mcp-{one.name}" for one in servers)}
    assert all(not service.get("runtime") for service in services(rendered()).values())


def test_the_default_needs_no_gpu_and_no_account() -> None:
    chosen = set(defaults()["COMPOSE_PROFILES"].split(","))
    assert chosen == {"cpu", "tools", "observability", "quality"}
    config = rendered()
    started = [
        name
        for name, service in services(config).items()
        if chosen & set(service.get("profiles", chosen))
    ]

    tool_servers = {f"mcp-{one.name}" for one in read_tool_servers(ROOT / "mcp_tools/servers.yaml")}
    assert tool_servers <= set(started)
    assert sorted(set(started) - tool_servers) == [
        "alertmanager",
        "configuration",
        "embedding",
        "examples",
        "grafana",
        "ingest",
        "ingress",
        "llm-cpu",
        "models-cpu",
        "otel-collector",
        "parser",
        "postgres",
        "prometheus",
        "qdrant",
        "quality",
        "retriever",
        "sample-database",
        "secrets",
        "settled",
        "state",
        "tempo",
    ]
    told = environment(services(config)["models-cpu"])
    assert told["FETCHER_LLM_MODEL"] == parts.MODEL, "the embedded mode serves another"
    assert told["FETCHER_LLM_MODEL"] in CATALOGUE
    assert not any("deploy" in services(config)[name] for name in started)


def test_each_kind_of_model_server_answers_at_the_same_name() -> None:
    for name in ("llm-cpu", "llm-vllm-cpu", "llm-gpu"):
        attached = services(rendered())[name]["networks"]
        assert set(attached) == {"retriever-llm", "quality-llm", "prometheus-llm"}
        assert all(options == {"aliases": ["llm"]} for options in attached.values())


def test_one_setting_chooses_the_model_for_fetcher_and_server() -> None:
    chosen = {"LLM_MODEL": "some/model", "LLM_REVISION": "a" * 40, "LLM_GGUF": "some-q4.gguf"}
    config = services(rendered(chosen))

    for profile in ("cpu", "vllm-cpu", "gpu"):
        told = environment(config[f"models-{profile}"])
        assert (told["FETCHER_LLM_MODEL"], told["FETCHER_LLM_REVISION"]) == ("some/model", "a" * 40)
        assert told.get("FETCHER_LLM_GGUF") == ("some-q4.gguf" if profile == "cpu" else None)
    for name in ("llm-vllm-cpu", "llm-gpu"):
        command = config[name]["command"]
        kind = "gpu" if name == "llm-gpu" else "cpu"
        assert command[:2] == ["--config", f"/etc/bulkhead/vllm/{kind}.yaml"]
        assert command[2:] == ["--served-model-name", "some/model"]
    assert environment(config["llm-cpu"])["LLM_ALIAS"] == "some/model"


def test_a_model_on_this_machine_is_seen_by_its_fetcher_and_its_server_at_one_place() -> None:
    config = rendered({"LLM_FILE": "/somewhere/model.gguf"})

    assert config["configs"]["llm-file"] == {"file": "/somewhere/model.gguf"}
    for name in ("models-cpu", "llm-cpu"):
        assert services(config)[name]["configs"] == [{"source": "llm-file", "target": "/llm.gguf"}]
    assert environment(services(config)["models-cpu"])["FETCHER_LLM_FILE"] == "/llm.gguf"


def test_a_model_for_embedding_or_reranking_is_read_from_the_volume() -> None:
    plain = environment(services(rendered())["embedding"])
    assert plain["EMBEDDING_MODEL"] == plain["EMBEDDING_RERANKER"] == ""

    chosen = {"EMBEDDING_MODEL": "some/encoder", "RERANKER_MODEL": "some/reranker"}
    told = environment(services(rendered(chosen))["embedding"])
    assert told["EMBEDDING_MODEL"] == "/models/embedding"
    assert told["EMBEDDING_MODEL_ID"] == "some/encoder"
    assert told["EMBEDDING_RERANKER"] == "/models/reranker"


def test_the_gpu_is_reserved_by_device() -> None:
    config = services(rendered({"GPU_DEVICE": "1"}))
    for name in ("llm-gpu", "embedding-gpu"):
        (device,) = config[name]["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "device_ids": ["1"], "capabilities": ["gpu"]}


def test_dockerfiles_and_compose_name_the_same_base_and_leave_torch_to_one_script() -> None:
    base = services(rendered())["retriever"]["build"]["args"]["PYTHON_IMAGE"]
    for dockerfile in DOCKERFILES:
        text = dockerfile.read_text(encoding="utf-8")
        assert re.findall(r"^ARG PYTHON_IMAGE=(.+)$", text, re.MULTILINE) == [base], dockerfile
        assert "torch==" not in text, dockerfile  # scripts/torch_index.py alone says which


def test_what_a_clone_brings_into_an_image_can_be_read_by_its_user() -> None:
    """A clone made under umask 077 has files that their owner alone may read."""
    for dockerfile in DOCKERFILES:
        text = dockerfile.read_text(encoding="utf-8")
        brought = re.search(r"^COPY (?!--from).* /app/", text, re.MULTILINE)
        if brought is not None:
            opened = re.search(r"chmod -R a\+rX /app", text[brought.end() :])
            assert opened is not None, dockerfile


def test_two_clones_share_no_project_and_no_image() -> None:
    assert "name" not in rendered()  # Compose takes the folder's, or COMPOSE_PROJECT_NAME
    one, other = (
        {service["image"] for service in services(rendered({"COMPOSE_PROJECT_NAME": name})).values()
         if "build" in service}
        for name in ("one", "other")
    )  # fmt: skip
    assert one and not one & other


def test_the_scripts_name_the_project_as_compose_does(tmp_path: Path) -> None:
    for folder, name in (("bulkhead", "bulkhead"), ("_My Clone.2", "myclone2"), ("b-1_x", "b-1_x")):
        assert project({}, tmp_path / folder) == name
    assert project({"COMPOSE_PROJECT_NAME": "mine"}, tmp_path / "bulkhead") == "mine"


def test_no_file_of_the_clone_is_mounted() -> None:
    """A clone made under umask 077 has files that no container's user may read."""
    config = rendered()
    own = [*config["configs"].values(), *config["secrets"].values()]
    assert {one["file"] for one in own} == {"/dev/null"}  # but what a person names
    wanted = {
        name for name, service in services(config).items()
        if any(mount.source == "configuration" for mount in mounts(service))
    }  # fmt: skip
    assert wanted == {
        "configuration", "llm-vllm-cpu", "llm-gpu", "postgres", "state", "otel-collector",
        "prometheus", "alertmanager", "tempo", "grafana", "retriever",
    }  # fmt: skip
    for name in wanted - {"configuration"}:
        condition = services(config)[name]["depends_on"]["configuration"]["condition"]
        assert condition == "service_completed_successfully"


def test_what_is_read_of_the_configuration_is_brought_there() -> None:
    """Each path below /etc/bulkhead that compose.yaml names is a file or folder that is copied."""
    dockerfile = (ROOT / "services/configuration/Dockerfile").read_text(encoding="utf-8")
    laid = {
        target.removeprefix("/app/files").strip("/"): ROOT / source
        for source, target in re.findall(r"^COPY (\S+) (/app/files\S*)$", dockerfile, re.MULTILINE)
    }
    named = re.findall(r"/etc/bulkhead/([\w./-]+)", json.dumps(rendered()))
    assert len(named) == 10
    for path in named:
        first, _, rest = path.partition("/")
        assert (laid[first] / rest if first in laid else laid[""] / path).exists(), path


def test_configuration_takes_the_place_of_what_was_there_and_everyone_may_read_it(
    tmp_path: Path,
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source / "rules", target / "gone"):
        folder.mkdir(parents=True)
    (source / "rules/slo.yml").write_text("new")
    (target / "gone/old.yml").touch()
    (target / "old.yml").touch()
    script = ROOT / "services/configuration/lay_out.py"
    for _ in range(2):
        command = [sys.executable, str(script), str(source), str(target)]
        subprocess.run(command, check=True, umask=0o077)
        assert sorted(str(one.relative_to(target)) for one in target.rglob("*")) == [
            "rules",
            "rules/slo.yml",
        ]
        assert (target / "rules/slo.yml").read_text() == "new"
        assert [one.stat().st_mode & 0o777 for one in sorted(target.rglob("*"))] == [0o755, 0o644]


def test_every_image_is_built_from_a_lock_and_runs_without_an_installer() -> None:
    for dockerfile in DOCKERFILES:
        text = dockerfile.read_text(encoding="utf-8")
        _, base, last = text.rsplit("\nFROM ", 2)
        assert base.startswith("${PYTHON_IMAGE} AS runtime\n"), dockerfile
        assert "rm -rf" in base and "/pip*" in base, dockerfile
        # A base without a shell can stand in its place, so nothing is run on it.
        assert last.startswith("${RUNTIME_IMAGE}\n"), dockerfile
        assert not re.search(r"^(RUN|SHELL|CMD [^\[]|ENTRYPOINT [^\[])", last, re.MULTILINE), (
            dockerfile
        )
        for line in re.findall(r"install .*-r .*", text):
            assert "--require-hashes" in line, dockerfile
        assert re.search(r"^USER \d+:\d+$", last, re.MULTILINE), dockerfile
