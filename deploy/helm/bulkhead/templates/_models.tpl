{{/* Models: a volume that one Job fills, checked by digest, and everyone else only reads. */}}
{{- define "bulkhead.wantsModels" -}}
{{- $v := .root.Values -}}
{{- $wants := or (and (not $v.llm.external.url) $v.llm.model) (and (not $v.embedding.external.url) (or $v.embedding.model $v.embedding.reranker)) -}}
{{- if and $wants $v.models.fetch -}}true{{- end -}}
{{- end }}

{{- define "bulkhead.models" -}}
- {name: models, persistentVolumeClaim: {claimName: {{ .root.Values.models.existingClaim | default (include "bulkhead.name" (dict "root" .root "c" "models")) }}}}
{{- end }}

{{/* {root, roles}: a container that waits until the fetcher has brought what the pod loads. */}}
{{- define "bulkhead.waits" -}}
- name: models
  image: {{ include "bulkhead.image" (dict "root" .root "part" "fetcher") }}
  imagePullPolicy: IfNotPresent
  command: [python, -c, {{ "import pathlib, sys, time\nwhile not all(pathlib.Path('/models', role).exists() for role in sys.argv[1:]): time.sleep(2)" | toJson }}, {{ join ", " .roles }}]
  resources: {requests: {cpu: 10m, memory: 32Mi, ephemeral-storage: 1Mi}, limits: {cpu: 100m, memory: 64Mi, ephemeral-storage: 16Mi}}
  securityContext:
    {{- include "bulkhead.walls" . | nindent 4 }}
  volumeMounts: [{name: models, mountPath: /models, readOnly: true}]
{{- end }}
