#!/bin/bash
# Starts one node of the cluster. Its peers reach it by the address of a Service of its own, which stays
# over restarts; Kubernetes puts those addresses into the environment, so that no name is looked up.
set -euo pipefail
ordinal=${HOSTNAME##*-}
address() {
  local name="${PEERS}_$1_SERVICE_HOST"
  [[ -n ${!name:-} ]] || { echo "qdrant: $name is not set yet" >&2; exit 1; }
  if [[ ${!name} == *:* ]]; then echo "http://[${!name}]:6335"; else echo "http://${!name}:6335"; fi
}
own=$(address "$ordinal")
arguments=(--config-path /run/secrets/qdrant.yaml --uri "$own")
if [[ $ordinal != 0 ]]; then
  first=$(address 0)
  arguments+=(--bootstrap "$first")
fi
exec ./entrypoint.sh "${arguments[@]}"
