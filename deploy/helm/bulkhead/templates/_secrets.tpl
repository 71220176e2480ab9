{{- define "bulkhead.readers" -}}
[retriever, ingest, bulk, examples, qdrant, mcp-filesystem, mcp-database, sample-database, quality, state, postgres, valkey, prometheus
{{- range $name, $_ := .Values.toolServers }}, mcp-{{ $name }}{{ end }}]
{{- end }}

{{/* {root, c}: whether a service reads secrets here: "true", or nothing. */}}
{{- define "bulkhead.reads" -}}
{{- if eq .c "prometheus" -}}
{{- if include "bulkhead.on" (dict "root" .root "c" "qdrant") -}}true{{- end -}}
{{- else -}}
{{- include "bulkhead.on" . -}}
{{- end -}}
{{- end }}

{{/* Whether there is a Secret left for the Job to make: "true", or nothing. */}}
{{- define "bulkhead.makesSecrets" -}}
{{- $makes := "" -}}
{{- range include "bulkhead.readers" .root | fromYamlArray -}}
{{- if and (include "bulkhead.reads" (dict "root" $.root "c" .)) (not (get $.root.Values.secrets.existing .)) -}}{{- $makes = "true" -}}{{- end -}}
{{- end -}}
{{- $makes -}}
{{- end }}
