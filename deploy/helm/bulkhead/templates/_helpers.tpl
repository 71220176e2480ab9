{{/* What every object of the chart shares. Templates are called with {root, c}: c is the component, called as in compose.yaml. */}}

{{- define "bulkhead.name" -}}
{{- printf "%s-%s" .root.Release.Name .c | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "bulkhead.selector" -}}
app.kubernetes.io/name: bulkhead
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .c }}
{{- end }}

{{- define "bulkhead.labels" -}}
{{ include "bulkhead.selector" . }}
app.kubernetes.io/part-of: bulkhead
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "bulkhead.metadata" -}}
name: {{ include "bulkhead.name" . }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "bulkhead.labels" . | nindent 2 }}
{{- end }}

{{/* The users of compose.yaml: each image's own. */}}
{{- define "bulkhead.user" -}}
{{- $users := dict "retriever" 10001 "ingest" 10001 "migrate" 10001 "embedding" 10002 "models" 10003 "llm" 10005
  "mcp-filesystem" 10006 "mcp-database" 10007 "sample-database" 10007 "quality" 10008 "otel-collector" 10009
  "parser" 10010 "bulk" 10015 "examples" 10011 "secrets" 10016 "qdrant" 1000 "postgres" 999 "state" 999 "valkey" 10013 -}}
{{- get $users .c | default (include "bulkhead.own" . | fromYaml).user -}}
{{- end }}

{{/* {root, part}: an image that a release of this project made, by digest. */}}
{{- define "bulkhead.image" -}}
{{- $images := .root.Values.images -}}
{{- $digest := get $images.digests .part | default "" -}}
{{- if not (and $images.registry $digest) -}}
{{- fail (printf "images.registry and images.digests.%s are to be set: a release's values-images.yaml has both, and docs/kubernetes.md says how to make one from a clone" .part) -}}
{{- end -}}
{{- printf "%s/%s@%s" (trimSuffix "/" $images.registry) .part $digest -}}
{{- end }}

{{/* {root, image}: another's image, from where its makers publish it or from the registry of ours. */}}
{{- define "bulkhead.theirs" -}}
{{- $where := .image.repository -}}
{{- if .root.Values.images.mirrored -}}
{{- $where = printf "%s/%s" (trimSuffix "/" .root.Values.images.registry) (base .image.repository) -}}
{{- end -}}
{{- printf "%s:%s@%s" $where .image.tag .image.digest -}}
{{- end }}

{{/* {root, c}: the address of a component's Service, as a pod's environment has it. No name is looked up. */}}
{{- define "bulkhead.host" -}}
{{- $variable := printf "$(%s_SERVICE_HOST)" (include "bulkhead.name" . | upper | replace "-" "_") -}}
{{- if .root.Values.ipv6 -}}[{{ $variable }}]{{- else -}}{{ $variable }}{{- end -}}
{{- end }}

{{/* Where a service listens: every address of its pod. */}}
{{- define "bulkhead.any" -}}
{{- if .root.Values.ipv6 -}}::{{- else -}}0.0.0.0{{- end -}}
{{- end }}

{{/* The values of a component: "mcp-filesystem" has them under mcpFilesystem. */}}
{{- define "bulkhead.key" -}}
{{- $words := splitList "-" . -}}
{{- first $words -}}{{- range rest $words -}}{{ title . }}{{- end -}}
{{- end }}

{{/* Whether a component runs here: "true", or nothing. */}}
{{- define "bulkhead.on" -}}
{{- $root := .root -}}
{{- $v := get $root.Values (include "bulkhead.key" .c) | default dict -}}
{{- if eq .c "secrets" -}}
  {{- include "bulkhead.makesSecrets" . -}}
{{- else if eq .c "models" -}}
  {{- if include "bulkhead.wantsModels" . -}}true{{- end -}}
{{- else if has .c (list "migrate" "ingest") -}}
  true
{{- else if eq .c "login" -}}
  {{- /* Always somebody else's. */ -}}
{{- else if has .c (list "sample-database" "postgres") -}}
  {{- if and $root.Values.mcpDatabase.enabled $root.Values.mcpDatabase.sample -}}true{{- end -}}
{{- else if not (or (include "bulkhead.elsewhere" .) (and (hasKey $v "enabled") (not $v.enabled))) -}}
  true
{{- end -}}
{{- end }}

{{/* Every component of the chart, and the tool servers of a fork. */}}
{{- define "bulkhead.components" -}}
[retriever, ingest, bulk, migrate, embedding, llm, models, parser, mcp-filesystem, mcp-database, sample-database, quality, examples, qdrant, state, postgres, valkey, otel-collector, secrets
{{- range $name, $_ := .Values.toolServers }}, mcp-{{ $name }}{{ end }}]
{{- end }}

{{/* What values say of the tool server of a fork whose component this is, as YAML; nothing for another component. */}}
{{- define "bulkhead.own" -}}
{{- get .root.Values.toolServers (trimPrefix "mcp-" .c) | default dict | toYaml -}}
{{- end }}
