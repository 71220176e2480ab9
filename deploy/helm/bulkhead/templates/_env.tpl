

{{/* The variables of each service, as its settings class reads them. A port is named, for a Service's name may give a variable of that name. */}}

{{- define "bulkhead.env.telemetry" -}}
{{- $collector := dict "root" .root "c" "otel-collector" -}}
{{- if include "bulkhead.on" $collector }}
OTEL_EXPORTER_OTLP_ENDPOINT: http://{{ include "bulkhead.host" $collector }}:4318
OTEL_METRICS_EXPORTER: otlp
{{- else }}
OTEL_METRICS_EXPORTER: none
{{- end }}
{{- end }}

{{/* Of everything that reads or writes documents: {root}. */}}
{{- define "bulkhead.env.state" -}}
{{- $v := .root.Values -}}
RETRIEVER_DATABASE_URL: {{ $v.state.external.url | default (printf "postgresql://retriever@%s:5432/retriever" (include "bulkhead.host" (dict "root" .root "c" "state"))) }}
RETRIEVER_DATABASE_PASSWORD_FILE: /run/secrets/database-password
{{- end }}

{{/* The Qdrant servers' addresses, with commas: one Service for each node. */}}
{{- define "bulkhead.qdrant" -}}
{{- $root := .root -}}
{{- $addresses := list -}}
{{- range $n := until (int $root.Values.qdrant.replicas) -}}
{{- $addresses = append $addresses (printf "http://%s:6334" (include "bulkhead.host" (dict "root" $root "c" (printf "qdrant-%d" $n)))) -}}
{{- end -}}
{{- $root.Values.qdrant.external.url | default (join "," $addresses) -}}
{{- end }}

{{- define "bulkhead.env.index" -}}
{{- $v := .root.Values -}}
RETRIEVER_COLLECTION: {{ $v.retriever.collection }}
RETRIEVER_QDRANT_URL: {{ include "bulkhead.qdrant" . }}
RETRIEVER_QDRANT_API_KEY_FILE: /run/secrets/qdrant-api-key
RETRIEVER_QDRANT_SHARDS: {{ $v.qdrant.collection.shards | default $v.qdrant.replicas }}
RETRIEVER_QDRANT_REPLICATION_FACTOR: {{ $v.qdrant.collection.replicationFactor }}
RETRIEVER_QDRANT_WRITE_CONSISTENCY_FACTOR: {{ $v.qdrant.collection.writeConsistencyFactor }}
RETRIEVER_EMBEDDING_URL: {{ $v.embedding.external.url | default (printf "http://%s:8081" (include "bulkhead.host" (dict "root" .root "c" "embedding"))) }}
{{- end }}

{{- define "bulkhead.llm" -}}
{{- .root.Values.llm.external.url | default (printf "http://%s:8000/v1" (include "bulkhead.host" (dict "root" .root "c" "llm"))) -}}
{{- end }}

{{- define "bulkhead.env.embedding" -}}
{{- $v := .root.Values.embedding -}}
{{ include "bulkhead.env.telemetry" . }}
EMBEDDING_HOST: {{ include "bulkhead.any" . | quote }}
EMBEDDING_PORT: 8081
{{- if $v.model }}
EMBEDDING_MODEL: /models/embedding
EMBEDDING_MODEL_ID: {{ $v.model }}
{{- end }}
{{- if $v.reranker }}
EMBEDDING_RERANKER: /models/reranker
{{- end }}
{{- if $v.gpu }}
EMBEDDING_DEVICE: cuda
EMBEDDING_DTYPE: float16
EMBEDDING_BATCH_TOKENS: 65536
{{- end }}
{{- end }}

{{- define "bulkhead.env.ingest" -}}
RETRIEVER_HOST: {{ include "bulkhead.any" . | quote }}
RETRIEVER_PORT: 8080
{{ include "bulkhead.env.telemetry" . }}
{{ include "bulkhead.env.state" . }}
{{ include "bulkhead.env.index" . }}
RETRIEVER_PARSER_URL: http://{{ include "bulkhead.host" (dict "root" .root "c" "parser") }}:8083
{{- end }}

{{- define "bulkhead.env.bulk" -}}
{{ include "bulkhead.env.state" . }}
{{ include "bulkhead.env.index" . }}
RETRIEVER_PARSER_URL: http://{{ include "bulkhead.host" (dict "root" .root "c" "parser") }}:8083
BULK_RAY_ADDRESS: auto
BULK_EMBEDDERS: {{ .root.Values.bulk.embedders }}
BULK_PREPARERS: {{ .root.Values.bulk.workers }}
BULK_PUBLISHERS: {{ .root.Values.bulk.workers }}
BULK_FAILED_FILE: /tmp/bulk-failed.jsonl
{{- if .root.Values.bulk.gpus }}
BULK_EMBEDDING: actors
BULK_EMBEDDER_GPUS: {{ .root.Values.bulk.gpus }}
EMBEDDING_DEVICE: cuda
EMBEDDING_DTYPE: float16
EMBEDDING_BATCH_TOKENS: 65536
{{- end }}
RAY_USAGE_STATS_ENABLED: 0
HOME: /tmp
USER: bulk
{{- end }}

{{- define "bulkhead.env.llm" -}}
{{- $v := .root.Values.llm -}}
{{- if eq $v.engine "vllm" }}
HOME: /home/vllm
USER: vllm
HF_HUB_OFFLINE: 1
VLLM_NO_USAGE_STATS: 1
DO_NOT_TRACK: 1
{{- else }}
LLM_HOST: {{ include "bulkhead.any" . | quote }}
LLM_PORT: 8000
LLM_ALIAS: {{ $v.model }}
LLM_CONTEXT_TOKENS: {{ $v.contextTokens }}
LLM_PARALLEL: {{ $v.parallel }}
{{- end }}
{{- end }}

{{- define "bulkhead.env.models" -}}
{{- $v := .root.Values -}}
FETCHER_FOLDER: /models
{{- with $v.models.hub.url }}
FETCHER_HUB: {{ . }}
{{- end }}
{{- if $v.models.hub.tokenSecret }}
FETCHER_TOKEN_FILE: /run/hub/token
{{- end }}
{{- if and $v.llm.model (not $v.llm.external.url) }}
FETCHER_LLM_MODEL: {{ $v.llm.model }}
FETCHER_LLM_REVISION: {{ $v.llm.revision | quote }}
FETCHER_LLM_GGUF: {{ $v.llm.gguf | quote }}
{{- end }}
FETCHER_EMBEDDING_MODEL: {{ $v.embedding.model | quote }}
FETCHER_EMBEDDING_REVISION: {{ $v.embedding.revision | quote }}
FETCHER_RERANKER_MODEL: {{ $v.embedding.reranker | quote }}
FETCHER_RERANKER_REVISION: {{ $v.embedding.rerankerRevision | quote }}
HF_HOME: /tmp/hub
{{- end }}

{{- define "bulkhead.env.parser" -}}
PARSER_HOST: {{ include "bulkhead.any" . | quote }}
PARSER_PORT: 8083
PARSER_PROCESSES: {{ .root.Values.parser.processes }}
{{- end }}

{{- define "bulkhead.env.qdrant" -}}
QDRANT__TELEMETRY_DISABLED: "true"
QDRANT__STORAGE__SNAPSHOTS_PATH: /qdrant/storage/snapshots
QDRANT__STORAGE__TEMP_PATH: /qdrant/storage/tmp
QDRANT_INIT_FILE_PATH: /qdrant/storage/.qdrant-initialized
QDRANT__CLUSTER__ENABLED: {{ .root.Values.qdrant.cluster.enabled | quote }}
{{- if .root.Values.ipv6 }}
QDRANT__SERVICE__HOST: "::"
{{- end }}
PEERS: {{ include "bulkhead.name" . | upper | replace "-" "_" }}
{{- end }}

{{- define "bulkhead.env.quality" -}}
{{ include "bulkhead.env.telemetry" . }}
QUALITY_HOST: {{ include "bulkhead.any" . | quote }}
QUALITY_PORT: 8082
QUALITY_RETRIEVER_URL: http://{{ include "bulkhead.host" (dict "root" .root "c" "retriever") }}:8080
QUALITY_API_KEY_FILE: /run/secrets/prober-key
QUALITY_TOKEN_FILE: /run/secrets/token
QUALITY_LLM_URL: {{ include "bulkhead.llm" . }}
QUALITY_JUDGE_SHARE: 1
{{- end }}

{{- define "bulkhead.env.examples" -}}
EXAMPLES_RETRIEVER_URL: http://{{ include "bulkhead.host" (dict "root" .root "c" "retriever") }}:8080
EXAMPLES_API_KEY_FILE: /run/secrets/api-key
{{- end }}

{{- define "bulkhead.env.retriever" -}}
{{- $v := .root.Values.retriever -}}
{{ include "bulkhead.env.telemetry" . }}
{{ include "bulkhead.env.state" . }}
{{ include "bulkhead.env.index" . }}
RETRIEVER_DATA_DIR: /data
RETRIEVER_HOST: {{ include "bulkhead.any" . | quote }}
RETRIEVER_PORT: 8080
RETRIEVER_REPLICAS: {{ ternary $v.autoscaling.max $v.replicas $v.autoscaling.enabled }}
RETRIEVER_API_KEY_FILE: /run/secrets/api-key
RETRIEVER_LLM_URL: {{ include "bulkhead.llm" . }}
{{- if .root.Values.llm.external.keySecret }}
RETRIEVER_LLM_API_KEY_FILE: /run/llm/key
{{- end }}
RETRIEVER_LINGER_SECONDS: 0 # its pod waits for the Services before it is told
{{- if $v.branding }}
RETRIEVER_BRANDING_DIR: /etc/bulkhead/branding
{{- end }}
RETRIEVER_TOOL_SERVERS_FILE: /etc/bulkhead/tools/servers.yaml
RETRIEVER_PROBER_KEY_FILE: /run/secrets/prober-key
RETRIEVER_SOURCE_TOKENS: {{ $v.sourceTokens }}
{{- if .root.Values.quality.enabled }}
RETRIEVER_QUALITY_URL: http://{{ include "bulkhead.host" (dict "root" .root "c" "quality") }}:8082
RETRIEVER_QUALITY_TOKEN_FILE: /run/secrets/quality-token
RETRIEVER_QUALITY_SHARE: {{ $v.qualityShare }}
{{- end }}
{{- with include "bulkhead.valkey" . }}
RETRIEVER_VALKEY_URL: {{ . }}
RETRIEVER_VALKEY_PASSWORD_FILE: /run/secrets/valkey-password
{{- end }}
{{- with .root.Values.login.external.url }}
RETRIEVER_OIDC_ISSUER: {{ . }}
{{- end }}
{{- with .root.Values.ingress.host }}
RETRIEVER_PUBLIC_URL: https://{{ . }}/
{{- end }}
{{- with .root.Values.monitoring.grafanaUrl }}
RETRIEVER_GRAFANA_URL: {{ . }}
{{- end }}
{{- end }}

{{- define "bulkhead.valkey" -}}
{{- if .root.Values.valkey.external.url -}}
{{- .root.Values.valkey.external.url -}}
{{- else if .root.Values.valkey.enabled -}}
valkey://{{ include "bulkhead.host" (dict "root" .root "c" "valkey") }}:6379
{{- end -}}
{{- end }}

{{/* The list of tool servers; each address is the pod's to fill in. */}}
{{- define "bulkhead.tools" -}}
{{- $servers := list -}}
{{- range $name, $port := dict "filesystem" 8090 "database" 8091 -}}
{{- $there := dict "root" $.root "c" (printf "mcp-%s" $name) -}}
{{- if include "bulkhead.on" $there -}}
{{- $host := include "bulkhead.host" $there | replace "$(" "${" | replace ")" "}" -}}
{{- $servers = append $servers (dict "name" $name "url" (printf "http://%s:%d/mcp" $host $port) "trusted" true
  "auth" (dict "type" "signed" "key_file" (printf "/run/secrets/mcp-%s-signing-key" $name))) -}}
{{- end -}}
{{- end -}}
{{- range $name, $own := .root.Values.toolServers -}}
{{- $host := include "bulkhead.host" (dict "root" $.root "c" (printf "mcp-%s" $name)) | replace "$(" "${" | replace ")" "}" -}}
{{- $servers = append $servers (dict "name" $name "url" (printf "http://%s:%v/mcp" $host $own.port) "trusted" (not $own.bridge)
  "auth" (dict "type" "signed" "key_file" (printf "/run/secrets/mcp-%s-signing-key" $name))) -}}
{{- end -}}
{{- dict "servers" (concat $servers .root.Values.retriever.toolServers) | toYaml -}}
{{- end }}

{{/* {root, c}: of a fork's tool server, or of the bridge to somebody else's. */}}
{{- define "bulkhead.env.own" -}}
{{- $own := include "bulkhead.own" . | fromYaml -}}
{{- $prefix := ternary "MCP_BRIDGE" (upper .c | replace "-" "_") (not (empty $own.bridge)) -}}
{{- if not $own.bridge }}
{{ include "bulkhead.env.telemetry" . }}
{{- else }}
MCP_BRIDGE_NAME: {{ trimPrefix "mcp-" .c }}
{{- end }}
{{ $prefix }}_HOST: {{ include "bulkhead.any" . | quote }}
{{ $prefix }}_PORT: {{ $own.port }}
{{ $prefix }}_ALLOWED_HOSTS: {{ include "bulkhead.host" . }}:{{ $own.port }}
{{ $prefix }}_SIGNING_KEY_FILE: /run/secrets/signing-key
{{- end }}

{{- define "bulkhead.env.filesystem" -}}
MCP_FILESYSTEM_HOST: {{ include "bulkhead.any" . | quote }}
MCP_FILESYSTEM_PORT: 8090
MCP_FILESYSTEM_ALLOWED_HOSTS: {{ include "bulkhead.host" . }}:8090
MCP_FILESYSTEM_SIGNING_KEY_FILE: /run/secrets/signing-key
{{- end }}

{{- define "bulkhead.env.database" -}}
{{- $v := .root.Values -}}
MCP_DATABASE_POSTGRES_HOST: {{ $v.postgres.external.url | default (include "bulkhead.host" (dict "root" .root "c" "postgres") | replace "[" "" | replace "]" "") }}
MCP_DATABASE_POSTGRES_PORT: {{ ternary $v.postgres.external.port 5432 (not (empty $v.postgres.external.url)) }}
MCP_DATABASE_PASSWORD_DIR: /run/secrets
{{- end }}

{{- define "bulkhead.env.databaseServer" -}}
{{ include "bulkhead.env.telemetry" . }}
{{ include "bulkhead.env.database" . }}
MCP_DATABASE_HOST: {{ include "bulkhead.any" . | quote }}
MCP_DATABASE_PORT: 8091
MCP_DATABASE_ALLOWED_HOSTS: {{ include "bulkhead.host" . }}:8091
MCP_DATABASE_SIGNING_KEY_FILE: /run/secrets/signing-key
{{- end }}

{{- define "bulkhead.env.sample" -}}
{{ include "bulkhead.env.database" . }}
MCP_DATABASE_ADMIN_PASSWORD_FILE: /run/secrets/postgres
{{- end }}
