"""Every pod of the chart stands behind the walls, whichever values are given."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from chart_objects import OWN_SERVERS, PRODUCTION, Json, containers, environment, of_kind, pods
from compose_file import rendered, services

from chart.schema import READERS
from chart.values import CHART, values
from secrets_maker.plan import PLAN
from supply.charts import VALUES
from supply.finding import ROOT

UPGRADE = "--is-upgrade"
EVERY = [
    *((files, ()) for files in VALUES),
    ((), (UPGRADE, "--set=valkey.enabled=true", "--set=mcpFilesystem.existingClaim=files")),
    ((), ("--set=bulk.enabled=true", "--set=bulk.existingClaim=corpus")),
]
"""Files of values, and options: all components are in one of them."""


def restricted(pod: Json) -> Iterator[str]:
    """What the Pod Security Standard `restricted` refuses of a pod, and what we ask beyond it."""
    spec = pod["spec"]
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield key
    if spec.get("automountServiceAccountToken") is not False:
        yield "has a token"
    whole = spec["securityContext"]
    if whole.get("runAsNonRoot") is not True or not whole.get("runAsUser"):
        yield "may be root"
    if whole.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "has no seccomp profile"
    for volume in spec.get("volumes", []):
        (kind,) = set(volume) - {"name"}
        if kind not in {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}:
            yield f"mounts a {kind}"
        if kind == "emptyDir" and not volume["emptyDir"].get("sizeLimit"):
            yield f"may fill {volume['name']}"
    for container in containers(pod):
        walls = container.get("securityContext", {})
        if walls.get("allowPrivilegeEscalation") is not False:
            yield "may gain privileges"
        if walls.get("capabilities") != {"drop": ["ALL"]}:
            yield "has capabilities"
        if walls.get("readOnlyRootFilesystem") is not True:
            yield "can write its root"
        if walls.get("privileged") or "runAsUser" in walls or "procMount" in walls:
            yield "has another way out"
        for side in ("requests", "limits"):
            asked = container.get("resources", {}).get(side, {})
            if not {"cpu", "memory", "ephemeral-storage"} <= set(asked):
                yield f"lacks {side}"
        if not re.search(r"@sha256:[0-9a-f]{64}$", container["image"]):
            yield f"{container['image']} can change"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield "takes a port of its node"
        for one in container.get("env", []):
            if "valueFrom" in one:
                yield f"{one['name']} comes from elsewhere"


@pytest.mark.parametrize(("files", "options"), [*EVERY, ((), OWN_SERVERS)])
def test_every_pod_is_restricted_and_has_limits_and_a_digest(
    files: tuple[str, ...], options: tuple[str, ...]
) -> None:
    found = pods(files, *options)
    assert len(found) >= 10
    broken = {name: list(restricted(pod)) for name, pod in found.items()}
    broken["secrets"] = [one for one in broken.get("secrets", []) if one != "has a token"]
    assert {name: said for name, said in broken.items() if said} == {}


def _first(pod: Json) -> Json:
    container: Json = pod["spec"]["containers"][0]
    return container


BREAKS: list[tuple[Callable[[Json], Any], str]] = [
    (lambda p: p["spec"].update(automountServiceAccountToken=True), "has a token"),
    (lambda p: p["spec"]["securityContext"].pop("runAsNonRoot"), "may be root"),
    (lambda p: p["spec"]["securityContext"].update(runAsUser=0), "may be root"),
    (lambda p: p["spec"]["securityContext"].pop("seccompProfile"), "no seccomp"),
    (lambda p: p["spec"].update(hostPID=True), "hostPID"),
    (lambda p: p["spec"]["volumes"].append({"name": "a", "hostPath": {"path": "/"}}), "hostPath"),
    (lambda p: p["spec"]["volumes"].append({"name": "a", "emptyDir": {}}), "may fill a"),
    (lambda p: _first(p)["securityContext"].update(capabilities={}), "has capabilities"),
    (lambda p: _first(p)["securityContext"].update(readOnlyRootFilesystem=False), "write its root"),
    (lambda p: _first(p)["securityContext"].pop("allowPrivilegeEscalation"), "gain privileges"),
    (lambda p: _first(p)["resources"]["limits"].pop("ephemeral-storage"), "lacks limits"),
    (lambda p: _first(p).update(image="qdrant/qdrant:v1"), "can change"),
]


@pytest.mark.parametrize(("damage", "said"), BREAKS)
def test_each_rule_notices_when_it_is_broken(damage: Callable[[Json], Any], said: str) -> None:
    pod = copy.deepcopy(pods()["qdrant"])
    assert list(restricted(pod)) == []
    damage(pod)
    assert said in "; ".join(restricted(pod))


def test_one_job_alone_has_a_token_and_its_rights_are_the_secrets_by_name() -> None:
    with_token = {
        name for name, pod in pods().items() if pod["spec"]["automountServiceAccountToken"]
    }
    assert with_token == {"secrets"}
    assert not any(
        one["automountServiceAccountToken"] for one in of_kind("ServiceAccount").values()
    )
    (rule,) = of_kind("Role")["secrets"]["rules"]
    assert (rule["resources"], rule["verbs"]) == (["secrets"], ["get", "patch"])
    assert set(rule["resourceNames"]) == {f"bulkhead-{name}" for name in of_kind("Secret")}
    (subject,) = of_kind("RoleBinding")["secrets"]["subjects"]
    assert subject["name"] == "bulkhead-secrets"


def test_with_every_secret_given_there_is_no_job_no_right_and_no_object() -> None:
    own = [yaml.safe_load(path.read_text()) for path in ROOT.glob("mcp_tools/*/values.yaml")]
    given = [
        f"--set=secrets.existing.mcp-{name}=mine" for one in own for name in one["toolServers"]
    ]
    for kind in ("Role", "RoleBinding", "Secret"):
        assert of_kind(kind, PRODUCTION, *given) == {}, kind
    assert "secrets" not in pods(PRODUCTION, *given)
    one = "--set=secrets.existing.examples=mine"
    rules = of_kind("Role", (), one)["secrets"]["rules"]
    assert [(rule["resourceNames"], rule["verbs"]) for rule in rules[1:]] == [(["mine"], ["get"])]
    assert "mine" not in rules[0]["resourceNames"]


def test_no_secret_is_in_the_environment_or_in_a_rendered_object() -> None:
    name = re.compile(r"(?<!VAL)KEY|TOKEN(?!S)|PASSWORD|SECRET|CREDENTIAL")
    for files, options in EVERY:
        for component, pod in pods(files, *options).items():
            for variable, value in environment(pod).items():
                if name.search(variable) and variable != "SECRETS_OBJECTS":
                    assert variable.endswith(("_FILE", "_DIR")), (component, variable)
                    assert f"{value}/".startswith("/run/"), (component, variable)
    for one in of_kind("Secret").values():
        assert "data" not in one and "stringData" not in one
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_each_pod_sees_the_keys_of_its_own_secret_that_the_plan_has() -> None:
    plan: dict[str, set[str]] = {}
    for secret in PLAN:
        for one in secret.copies:
            plan.setdefault(one.service, set()).add(one.file)
    # The same image, and one password less to rotate; the same pod.
    shares = {"migrate": "ingest", "bulk-workers": "bulk"}
    for files, options in EVERY:
        for component, pod in pods(files, *options).items():
            for volume in pod["spec"]["volumes"]:
                if volume["name"] == "secrets":
                    reader = shares.get(component, component)
                    assert volume["secret"]["secretName"] == f"bulkhead-{reader}"
                    keys = {item["key"] for item in volume["secret"]["items"]}
                    assert keys <= plan[reader], component
                    assert volume["secret"]["defaultMode"] == 0o400
    fork = {f"mcp-{one.parent.name}" for one in ROOT.glob("mcp_tools/*/values.yaml")}
    assert set(READERS) == set(plan) - {"grafana"} - fork


def test_users_and_images_are_those_of_compose() -> None:
    config = services(rendered())
    names = {"llm": "llm-cpu", "models": "models-cpu"}
    for files, options in EVERY:
        for component, pod in pods(files, *options).items():
            service = names.get(component, component)
            if files and component == "llm":
                service = "llm-gpu"
            if service in config and component != "secrets":
                user = config[service]["user"].split(":")[0]
                assert str(pod["spec"]["securityContext"]["runAsUser"]) == user, component
            if service in config and "build" not in config[service]:
                (container,) = pod["spec"]["containers"]
                image = re.sub(r"^docker\.io/(library/)?", "", container["image"])
                assert image == config[service]["image"], component


def test_what_is_built_here_comes_from_the_one_registry_and_the_rest_can() -> None:
    own = {one["image"] for pod in pods().values() for one in containers(pod)}
    assert {one for one in own if one.startswith("registry.example/bulkhead/")} >= {
        f"registry.example/bulkhead/{part}@" + one.split("@")[1]
        for one in own
        for part in [one.split("@")[0].rsplit("/", 1)[1]]
        if "registry.example" in one
    }
    mirrored = pods((), "--set=images.mirrored=true")
    for pod in mirrored.values():
        for one in containers(pod):
            assert one["image"].startswith("registry.example/bulkhead/"), one["image"]


def test_a_database_lets_in_whom_the_policies_let_through() -> None:
    """A pod's own network has one address on many clusters: `samenet` would shut everyone out."""
    for component in ("state", "postgres"):
        assert environment(pods()[component])["CLIENTS"] == "all"
        start = of_kind("ConfigMap")[component]["data"]["start.sh"]
        assert "${CLIENTS:-samenet} scram-sha-256" in start


def test_only_who_has_a_neighbour_elsewhere_asks_a_name_server() -> None:
    def asking(files: tuple[str, ...]) -> set[str]:
        return {name for name, pod in pods(files).items() if pod["spec"]["dnsPolicy"] != "None"}

    assert asking(()) == {"models"}
    assert asking(PRODUCTION) == {"models", "retriever", "ingest", "otel-collector"}
    for name, pod in pods().items():
        if name != "models":
            assert pod["spec"]["dnsConfig"]["nameservers"] == ["127.0.0.1"]


def test_every_address_of_a_neighbour_is_that_of_a_service_with_one() -> None:
    """Kubernetes gives a headless Service no variable."""
    for files, options in EVERY:
        found = of_kind("Service", files, *options)
        for component, pod in pods(files, *options).items():
            told = str(pod["spec"]["containers"]) + str(
                of_kind("ConfigMap", files, *options).get("retriever", {}).get("data")
            )
            for variable in re.findall(r"\$[({](\w+)_SERVICE_HOST[)}]", told):
                name = variable.removeprefix("BULKHEAD_").lower().replace("_", "-")
                assert found[name]["spec"].get("clusterIP") != "None", (component, name)
                assert found[name]["spec"]["type"] == "ClusterIP"


def test_a_pod_that_serves_is_let_load_is_asked_and_drains() -> None:
    for files, options in EVERY:
        for component, pod in pods(files, *options).items():
            (container,) = pod["spec"]["containers"]
            if pod["spec"].get("restartPolicy") == "OnFailure":
                assert "livenessProbe" not in container
                continue
            starts = container["startupProbe"]
            assert starts["periodSeconds"] * starts["failureThreshold"] >= 60, component
            assert {"readinessProbe", "livenessProbe"} <= set(container)
            alive = container["livenessProbe"]
            assert alive["failureThreshold"] * alive["periodSeconds"] >= 120, component
    for component in ("retriever", "embedding", "llm", "parser", "qdrant"):
        pod = pods()[component]
        (container,) = pod["spec"]["containers"]
        drains = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert pod["spec"]["terminationGracePeriodSeconds"] >= drains + 10
    model = pods(("values-gpu.yaml",))["llm"]["spec"]["containers"][0]["startupProbe"]
    assert model["periodSeconds"] * model["failureThreshold"] >= 1800


def test_a_runtime_stands_before_the_node_where_one_is_named_and_is_left_out_where_none_is() -> (
    None
):
    for component in ("parser", "mcp-filesystem"):
        assert "runtimeClassName" not in pods()[component]["spec"]
        assert pods(PRODUCTION)[component]["spec"]["runtimeClassName"] == "gvisor"


def test_the_files_are_those_of_the_stack() -> None:
    """Links, so that no copy grows old; a packaged chart has the files themselves."""
    links = {one.name for one in (CHART / "files").iterdir() if one.is_symlink()}
    assert links >= {"rules", "dashboards", "otel-collector", "postgres", "state", "vllm"}
    for one in (CHART / "files").iterdir():
        assert one.resolve().is_dir()
    assert values()
