"""What the chart refuses; both Helms make the same of it, and three Kubernetes take it."""

import subprocess
from pathlib import Path

import pytest
import yaml
from chart_objects import (
    NAMESPACE,
    OWN_SERVERS,
    PRODUCTION,
    helm,
    needed,
    objects,
    release_values,
    text,
)

from bulkhead import __version__
from chart.generate import files
from chart.schema import BY_NAME, BY_PATH
from chart.values import CHART, values
from supply.charts import VALUES, faults
from supply.tools import tool

RELEASES = ("1.30", "1.34", "1.37")
OPTIONS = (
    *((files, ()) for files in VALUES),
    ((), ("--is-upgrade", "--set=valkey.enabled=true", "--set=ipv6=true")),
    ((), OWN_SERVERS),
)


def test_the_schema_and_the_table_are_current() -> None:
    for path, told in files().items():
        assert path.read_text(encoding="utf-8") == told, "run python -m chart.generate"


def test_the_chart_is_of_this_release() -> None:
    told = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert told["version"] == told["appVersion"] == __version__


def test_a_rule_of_the_schema_is_for_a_value_that_is_there() -> None:
    paths = {".".join(one.path) for one in values()}
    assert set(BY_PATH) <= paths
    assert set(BY_NAME) <= {path.rpartition(".")[2] for path in paths}


def test_a_value_without_a_word_is_found(tmp_path: Path) -> None:
    silent = tmp_path / "values.yaml"
    silent.write_text("# Said.\na: 1\nb:\n  # Said.\n  c: 1\n  d: {e: 1}\n")
    with pytest.raises(ValueError, match=r"says nothing of b\.d$"):
        values(silent)


@pytest.mark.parametrize(("files", "options"), OPTIONS)
def test_helm_3_and_4_make_the_same_of_it(files: tuple[str, ...], options: tuple[str, ...]) -> None:
    assert text(files, *options, program="helm3") == text(files, *options)


def test_three_releases_of_kubernetes_take_every_object(tmp_path: Path) -> None:
    needed("kubernetes-validate")
    foreign = {"ServiceMonitor", "PrometheusRule", "ScaledObject"}  # of operators, not Kubernetes
    rendered = []
    for number, (given, options) in enumerate(OPTIONS):
        rendered.append(tmp_path / f"{number}.yaml")
        told = [one for one in objects(given, *options) if one["kind"] not in foreign]
        rendered[-1].write_text(yaml.safe_dump_all(told))
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(rendered[0].read_text().replace("replicas: 1", "replicaz: 1", 1))
    for release in RELEASES:
        command = [tool("kubernetes-validate"), "-k", release, "--strict"]
        done = subprocess.run([*command, *rendered], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
        assert "WARN" not in done.stdout
    done = subprocess.run([*command, wrong], capture_output=True, text=True)
    assert done.returncode != 0, "it would take anything"


def test_lint_and_trivy_find_nothing_and_would(tmp_path: Path) -> None:
    needed("helm4", "trivy")
    assert list(faults()) == []
    broken = tmp_path / "bulkhead"
    subprocess.run(["cp", "-rL", CHART, broken], check=True)
    pod = broken / "templates/_pod.tpl"
    pod.write_text(
        pod.read_text()
        .replace("readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false")
        .replace("allowPrivilegeEscalation: false", "privileged: true")
    )
    said = "\n".join(map(str, faults(broken)))
    assert "KSV-0014" in said and "KSV-0017" in said, said


REFUSED = [
    # What is set, and what the refusal speaks of.
    (["images.qdrant.digest=null"], "digest"),
    (["images.qdrant.digest=latest"], "digest"),
    (["images.digests.retriever=v1"], "digests"),
    (["images.digests.another=sha256:" + "a" * 64], "another"),
    (["images.registry=https://ghcr.io/a"], "registry"),
    (["qdrant.replicas=3", "qdrant.cluster.enabled=false"], "enabled"),
    (["qdrant.collection.replicationFactor=2"], "replicationFactor"),
    (["qdrant.replicas=3", "qdrant.collection.replicationFactor=4"], "replicationFactor"),
    (["qdrant.replicas=3", "qdrant.collection.writeConsistencyFactor=2"], "writeConsistency"),
    (["qdrant.replicas=17"], "replicas"),
    (["parser.runtimeClassName="], "runtimeClassName"),
    (["mcpFilesystem.runtimeClassName=Kata Containers"], "runtimeClassName"),
    (["retriever.replicas=0"], "replicas"),
    (["llm.autoscaling.min=0"], "min"),
    (["llm.autoscaling.enabled=true"], "engine"),
    (["llm.engine=vllm"], "nvidia.com/gpu"),
    (["embedding.gpu=true"], "nvidia.com/gpu"),
    (["quality.replicas=2"], "replicas"),
    (["embedding.model=a/b"], "revision"),
    (["embedding.model=a/b", "embedding.revision=main"], "revision"),
    (["retriever.resources.limits.ephemeral-storage=null"], "ephemeral-storage"),
    (["qdrant.external.url=http://qdrant.example:6334"], "to"),
    (["state.external.url=postgresql://retriever:secret@db.example/retriever"], "url"),
    (["ingress.host=rag.example"], "tlsSecret"),
    (["ingress.host=rag.example", "ingress.tlsSecret=a"], "clients"),
    (["secrets.existing.nobody=a"], "nobody"),
    (["retriever.replica=3"], "replica"),
    (["toolServers.weather.port=8094"], "user"),
    (["toolServers.filesystem.port=8094", "toolServers.filesystem.user=10020"], "filesystem"),
    (["toolServers.Weather.port=8094", "toolServers.Weather.user=10020"], "Weather"),
    (["toolServers.weather.port=8094", "toolServers.weather.user=0"], "user"),
]


def test_what_does_not_fit_together_is_refused() -> None:
    for number, (sets, said) in enumerate(REFUSED):
        given = [f"--set={one}" for one in sets]
        done = helm(
            *("template", "bulkhead", str(CHART), f"--values={release_values()}", *given),
            program=("helm3", "helm4")[number % 2],  # each has a validator of its own
        )
        assert done.returncode != 0, sets
        assert said in done.stderr.split("Error:")[1], (sets, done.stderr)


def test_what_fits_is_taken() -> None:
    for sets in (
        ["qdrant.replicas=3", "qdrant.collection.replicationFactor=3"],
        ["parser.runtimeClassName=kata"],
        [
            "qdrant.external.url=https://qdrant.example:6334",
            "qdrant.external.to[0].ipBlock.cidr=192.0.2.1/32",
            "qdrant.collection.replicationFactor=2",
        ],
        ["llm.external.url=https://llm.example/v1", "llm.external.to[0].ipBlock.cidr=192.0.2.0/24"],
        ["valkey.enabled=true", "retriever.replicas=3"],
        ["secrets.existing.retriever=mine"],
    ):
        assert text((), *(f"--set={one}" for one in sets))


def test_without_a_releases_digests_it_says_what_is_missing() -> None:
    done = helm("template", "bulkhead", str(CHART))
    assert done.returncode != 0
    assert "images.registry and images.digests" in done.stderr
    assert "docs/kubernetes.md" in done.stderr


def test_a_job_has_another_name_when_it_is_another_job_and_else_the_same() -> None:
    def names(*options: str) -> set[str]:
        told = yaml.safe_load_all(text((), *options))
        return {one["metadata"]["name"] for one in told if one and one["kind"] == "Job"}

    changed = names("--set=llm.model=qwen2.5-coder-1.5b-instruct") ^ names()
    assert {one.rsplit("-", 1)[0] for one in changed} == {"bulkhead-models"}
    assert {one.rsplit("-", 1)[0] for one in names("--set=secrets.round=2") ^ names()} == {
        "bulkhead-secrets"
    }


def test_an_upgrade_brings_the_schema_up_before_its_pods() -> None:
    told = [one for one in yaml.safe_load_all(text(PRODUCTION, "--is-upgrade")) if one]
    (migrate,) = (
        one for one in told if "migrate" in one["metadata"]["name"] and one["kind"] == "Job"
    )
    assert migrate["metadata"]["annotations"]["helm.sh/hook"] == "pre-upgrade"
    (container,) = migrate["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["python", "-m", "retriever", "migrate"]
    assert migrate["metadata"]["namespace"] == NAMESPACE
