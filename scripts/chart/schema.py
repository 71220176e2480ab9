"""`values.schema.json`: what the chart refuses before it makes anything of it.

Types come from the defaults; what goes beyond them is in the tables below. JSON Schema cannot
compare two numbers, so a bound that is another value is written out for each number.
"""

from typing import Any

from chart.values import Value
from release.override import built

Schema = dict[str, Any]

DIGEST = "^sha256:[0-9a-f]{64}$"
MOST_NODES = 16
_COMMIT = {"type": "string", "pattern": "^([0-9a-f]{40})?$"}
_QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"}
_AMOUNT = {"anyOf": [_QUANTITY, {"type": "integer", "minimum": 0}]}
_ASKED: Schema = {
    "type": "object",
    "required": ["cpu", "memory", "ephemeral-storage"],
    "additionalProperties": _AMOUNT,
}
_NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"}
_IMAGE: Schema = {
    "type": "object",
    "required": ["repository", "tag", "digest"],  # a tag alone can change
    "additionalProperties": False,
    "properties": {
        "repository": {"type": "string", "pattern": r"^[a-z0-9.:-]+(/[a-z0-9._-]+)+$"},
        "tag": {"type": "string", "pattern": r"^[\w][\w.-]{0,127}$"},
        "digest": {"type": "string", "pattern": DIGEST},
    },
}
_TEXTS = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
READERS = (
    *("retriever", "ingest", "bulk", "examples", "qdrant", "mcp-filesystem", "mcp-database"),
    *("sample-database", "quality", "state", "postgres", "valkey", "prometheus"),
)
"""The services that have a Secret."""

BY_NAME: dict[str, Schema] = {
    "resources": {
        "type": "object",
        "required": ["requests", "limits"],
        "additionalProperties": False,
        "properties": {"requests": _ASKED, "limits": _ASKED},
    },
    # An empty one is none that a cluster has: every pod would wait for ever.
    "runtimeClassName": {"anyOf": [{"type": "null"}, _NAME]},
    "env": _TEXTS,
    "nodeSelector": {"type": "object", "additionalProperties": {"type": "string"}},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    "revision": _COMMIT,
    "rerankerRevision": _COMMIT,
    "port": {"type": "integer", "minimum": 1, "maximum": 65535},
    "replicas": {"type": "integer", "minimum": 1},
    "min": {"type": "integer", "minimum": 1},
    "max": {"type": "integer", "minimum": 1},
    "cpu": {"type": "integer", "minimum": 1, "maximum": 100},
    "cachePercent": {"type": "integer", "minimum": 1, "maximum": 100},
    "size": _QUANTITY,
    "dataSize": _QUANTITY,
    "tmp": _QUANTITY,
    "sharedMemory": _QUANTITY,
}
"""By the last part of a value's path."""

_OWN: Schema = {
    "type": "object",
    "required": ["port", "user"],
    "additionalProperties": False,
    "properties": {
        "port": BY_NAME["port"],
        "user": {"type": "integer", "minimum": 10000},
        "bridge": {"type": "boolean"},
        **{
            name: BY_NAME[name]
            for name in ("replicas", "runtimeClassName", "env", "resources", "nodeSelector")
        },
        "tolerations": {"type": "array"},
        "affinity": {"type": "object"},
    },
}
"""A tool server of a fork."""
_SERVER = "[a-z]+(-[a-z]+)*"
_URL = r"^(https?://[^@\s]+)?$"
BY_PATH: dict[str, Schema] = {
    "images.registry": {"type": "string", "pattern": r"^([a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*)?$"},
    "images.digests": {
        "type": "object",
        "propertyNames": {
            "anyOf": [{"enum": sorted(set(built().values()))}, {"pattern": f"^mcp-{_SERVER}$"}]
        },
        "additionalProperties": {"type": "string", "pattern": DIGEST},
    },
    "secrets.existing": {
        "type": "object",
        "propertyNames": {"anyOf": [{"enum": list(READERS)}, {"pattern": f"^mcp-{_SERVER}$"}]},
        "additionalProperties": _NAME,
    },
    "toolServers": {
        "type": "object",
        "propertyNames": {
            "pattern": f"^{_SERVER}$",
            "not": {"enum": ["filesystem", "database"]},
        },
        "additionalProperties": _OWN,
    },
    "bulk.arguments": {"type": "array", "minItems": 1, "items": {"type": "string"}},
    "bulk.round": {"type": "integer", "minimum": 1, "maximum": 9999},
    "bulk.operator": {"type": "array", "minItems": 1},  # else KubeRay could not hand the run in
    "bulk.embedders": {"type": "integer", "minimum": 1},
    "bulk.workers": {"type": "integer", "minimum": 1},
    "bulk.gpus": {"type": "number", "minimum": 0, "maximum": 8},
    "models.accessMode": {"enum": ["ReadWriteOnce", "ReadWriteMany"]},
    "retriever.qualityShare": {"type": "number", "minimum": 0, "maximum": 1},
    "llm.engine": {"enum": ["llama-cpp", "vllm"]},
    "llm.model": {"type": "string", "minLength": 1},
    "llm.startupSeconds": {"type": "integer", "minimum": 60},
    "llm.external.url": {"type": "string", "pattern": _URL},
    "login.external.url": {"type": "string", "pattern": _URL},
    "embedding.external.url": {"type": "string", "pattern": _URL},
    "qdrant.external.url": {
        "type": "string",
        "pattern": r"^(https?://[^@,\s]+(,https?://[^@,\s]+)*)?$",
    },
    # No password: it is a file.
    "state.external.url": {"type": "string", "pattern": r"^(postgres(ql)?://[^:@/\s]+@[^@\s]+)?$"},
    "valkey.external.url": {"type": "string", "pattern": r"^(valkeys?://[^@/\s]+(/[0-9]+)?)?$"},
    "llm.autoscaling.prometheus": {"type": "string", "pattern": r"^https?://[^@\s]+$"},
    "qdrant.replicas": {"type": "integer", "minimum": 1, "maximum": MOST_NODES},
    "qdrant.collection.shards": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1}]},
    "qdrant.collection.replicationFactor": {"type": "integer", "minimum": 1},
    "qdrant.collection.writeConsistencyFactor": {"type": "integer", "minimum": 1},
    "quality.replicas": {"const": 1},
    "otelCollector.replicas": {"const": 1},
}


def schema(values: list[Value]) -> Schema:
    """The schema of all values: nothing that is not among them passes."""
    whole: Schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "bulkhead"}
    whole |= {"type": "object", "additionalProperties": False, "properties": {}}
    for value in values:
        place = whole
        for step in value.path[:-1]:
            place = place["properties"].setdefault(
                step, {"type": "object", "additionalProperties": False, "properties": {}}
            )
        place["properties"][value.path[-1]] = {"description": value.comment} | _of(value)
    whole["properties"]["global"] = {"type": "object"}  # Helm's own, for charts that hold this one
    whole["allOf"] = _together(values)
    return whole


def _of(value: Value) -> Schema:
    if isinstance(value.default, dict) and "digest" in value.default:
        return _IMAGE
    for found in (BY_PATH.get(".".join(value.path)), BY_NAME.get(value.path[-1])):
        if found is not None:
            return found
    kinds = {bool: "boolean", str: "string", list: "array", dict: "object", float: "number"}
    if isinstance(value.default, int) and not isinstance(value.default, bool):
        return {"type": "integer", "minimum": 0}
    return {"type": kinds[type(value.default)]}


def _at(path: str, told: Schema, *, there: bool = False) -> Schema:
    """What holds of the value at a path; with `there` only where it was given."""
    for step in reversed(path.split(".")):
        told = {"properties": {step: told}} | ({"required": [step]} if there else {})
    return told


def _if(condition: Schema, *then: Schema) -> Schema:
    return {"if": condition, "then": {"allOf": list(then)}}


def _both(*conditions: Schema) -> Schema:
    return {"allOf": list(conditions)}


def _together(values: list[Value]) -> list[Schema]:
    """What has to fit together. Helm checks the values with their defaults, so all are there."""
    some = {"minLength": 1}
    here = _at("qdrant.external.url", {"const": ""}, there=True)
    rules = [
        # Several nodes that are no cluster are several stores behind one name.
        _if(
            _at("qdrant.replicas", {"minimum": 2}, there=True),
            _at("qdrant.cluster.enabled", {"const": True}),
        ),
        _if(
            _at("ingress.host", some, there=True),
            _at("ingress.tlsSecret", some),
            _at("network.clients", {"minItems": 1}),
        ),
        _if(
            _at("llm.engine", {"const": "vllm"}, there=True),
            _at("llm.revision", some),
            _at("llm.resources.limits", {"required": ["nvidia.com/gpu"]}),
        ),
        _if(
            _at("llm.autoscaling.enabled", {"const": True}, there=True),
            _at("llm.engine", {"const": "vllm"}),  # llama.cpp has no such metrics
        ),
        _if(
            _at("embedding.gpu", {"const": True}, there=True),
            _at("embedding.resources.limits", {"required": ["nvidia.com/gpu"]}),
            _at("embedding.autoscaling.enabled", {"const": False}),
        ),
        _if(
            _at("bulk.gpus", {"exclusiveMinimum": 0}, there=True),
            _at("bulk.resources.limits", {"required": ["nvidia.com/gpu"]}),
        ),
        _if(
            _at("images.mirrored", {"const": True}, there=True),
            _at("images.registry", some),
        ),
        _if(
            _at("otelCollector.traces.endpoint", some, there=True),
            _at("otelCollector.traces.to", {"minItems": 1}),
        ),
    ]
    for model, commit in (("model", "revision"), ("reranker", "rerankerRevision")):
        rules.append(
            _if(_at(f"embedding.{model}", some, there=True), _at(f"embedding.{commit}", some))
        )
    # One that is elsewhere has to be let through to.
    for value in values:
        if value.path[-2:] == ("external", "url"):
            path = ".".join(value.path)
            rules.append(
                _if(
                    _at(path, some, there=True),
                    _at(path.removesuffix("url") + "to", {"minItems": 1}),
                )
            )
    for number in range(1, MOST_NODES):
        nodes = _at("qdrant.replicas", {"const": number}, there=True)
        most = {"maximum": number}
        rules.append(_if(_both(here, nodes), _at("qdrant.collection.replicationFactor", most)))
        held = _at("qdrant.collection.replicationFactor", {"const": number}, there=True)
        rules.append(_if(held, _at("qdrant.collection.writeConsistencyFactor", most)))
    return rules
