{{/*
Who may call whom, and at which port: the edges of compose.yaml's networks, and those of its Unix
sockets, which are connections here because two pods share no folder. What is not here is closed.
*/}}
{{- define "bulkhead.edges" -}}
- {from: retriever, to: embedding, port: 8081}
- {from: retriever, to: llm, port: 8000}
- {from: retriever, to: qdrant, port: 6334}
- {from: retriever, to: state, port: 5432}
- {from: retriever, to: valkey, port: 6379}
- {from: retriever, to: mcp-filesystem, port: 8090}
- {from: retriever, to: mcp-database, port: 8091}
- {from: retriever, to: quality, port: 8082}
- {from: retriever, to: otel-collector, port: 4318}
- {from: retriever, to: login, port: 443}
- {from: ingest, to: embedding, port: 8081}
- {from: ingest, to: qdrant, port: 6334}
- {from: ingest, to: state, port: 5432}
- {from: ingest, to: parser, port: 8083}
- {from: ingest, to: otel-collector, port: 4318}
- {from: bulk, to: embedding, port: 8081}
- {from: bulk, to: qdrant, port: 6334}
- {from: bulk, to: state, port: 5432}
- {from: bulk, to: parser, port: 8083}
- {from: migrate, to: state, port: 5432}
- {from: embedding, to: otel-collector, port: 4318}
- {from: mcp-database, to: postgres, port: 5432}
- {from: mcp-database, to: otel-collector, port: 4318}
- {from: sample-database, to: postgres, port: 5432}
- {from: quality, to: retriever, port: 8080}
- {from: quality, to: llm, port: 8000}
- {from: quality, to: otel-collector, port: 4318}
- {from: examples, to: retriever, port: 8080}
- {from: qdrant, to: qdrant, port: 6335}
{{- range $name, $own := .root.Values.toolServers }}
- {from: retriever, to: mcp-{{ $name }}, port: {{ $own.port }}}
{{- if not $own.bridge }}
- {from: mcp-{{ $name }}, to: otel-collector, port: 4318}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether a component asks a name server: it fetches, or a neighbour of it is elsewhere. "true", or nothing. */}}
{{- define "bulkhead.looksUp" -}}
{{- /* Ray finds its head by name. */ -}}
{{- $looks := has .c (list "models" "bulk") -}}
{{- if and (eq .c "otel-collector") .root.Values.otelCollector.traces.endpoint -}}{{- $looks = true -}}{{- end -}}
{{- range include "bulkhead.edges" . | fromYamlArray -}}
  {{- if and (eq .from $.c) (include "bulkhead.elsewhere" (dict "root" $.root "c" .to)) -}}{{- $looks = true -}}{{- end -}}
{{- end -}}
{{- if $looks -}}true{{- end -}}
{{- end }}

{{/* Whether a component is somebody else's: "true", or nothing. */}}
{{- define "bulkhead.elsewhere" -}}
{{- $v := get .root.Values (include "bulkhead.key" .c) | default dict -}}
{{- if and $v.external $v.external.url -}}true{{- end -}}
{{- end }}

{{- define "bulkhead.names" -}}
{{- if include "bulkhead.looksUp" . }}
- to:
    {{- toYaml .root.Values.network.dns | nindent 4 }}
  ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
{{- end }}
{{- end }}
