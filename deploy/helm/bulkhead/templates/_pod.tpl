{{/*
A pod of one container behind all walls. Called with
  root, c     the component
  v           its values: resources, env, nodeSelector, tolerations, affinity, runtimeClassName
  image       by digest
  env         YAML of variables; command, args: lists
  ports       name: number;  probe: {path, port, seconds} or {exec, seconds}, left out for a Job
  keys        the files that it sees of its Secret, in /run/secrets
  volumes, mounts   YAML lists beside those every pod has; init: YAML list of containers before it
  tmp         size of /tmp, in memory; grace: seconds to end in; drain: seconds before that
  token       "true" for the one Job that asks the API server
  ends        "Never" or "OnFailure" for a Job
*/}}
{{- define "bulkhead.pod" -}}
{{- $v := .v | default dict -}}
{{- $user := include "bulkhead.user" . -}}
metadata:
  labels: # without the release's version: what did not change goes on over an upgrade
    {{- include "bulkhead.selector" . | nindent 4 }}
  {{- with .annotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "bulkhead.name" . }}
  automountServiceAccountToken: {{ .token | default "false" }}
  enableServiceLinks: true # the neighbours' addresses, without a name server
  {{- if include "bulkhead.looksUp" . }}
  dnsPolicy: ClusterFirst
  {{- else }}
  dnsPolicy: None # a question to a name server is a way out
  dnsConfig: {nameservers: ["127.0.0.1"], options: [{name: timeout, value: "1"}, {name: attempts, value: "1"}]}
  {{- end }}
  shareProcessNamespace: true # the pod's own first process reaps orphans
  terminationGracePeriodSeconds: {{ .grace | default 30 }}
  {{- with .ends }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- with .root.Values.images.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $v.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not .ends }}
  topologySpreadConstraints:
    {{- $c := . }}
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "bulkhead.selector" $c | nindent 10 }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ $user }}
    runAsGroup: {{ $user }}
    fsGroup: {{ $user }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  {{- with .init }}
  initContainers:
    {{- . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .c }}
      image: {{ .image }}
      imagePullPolicy: IfNotPresent
      {{- with .command }}
      command:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .args }}
      args:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- $env := merge (dict) ($v.env | default dict) (.env | default "" | fromYaml) }}
      {{- with $env }}
      env:
        {{- range $name, $value := . }}
        - {name: {{ $name }}, value: {{ $value | toString | quote }}}
        {{- end }}
      {{- end }}
      {{- with .ports }}
      ports:
        {{- range $name, $number := . }}
        - {name: {{ $name }}, containerPort: {{ $number }}}
        {{- end }}
      {{- end }}
      {{- with .probe }}
      startupProbe: # as long as it may take to load
        {{- include "bulkhead.asks" (dict "probe" . "path" .path) | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: {{ div .seconds 5 }}
      readinessProbe:
        {{- include "bulkhead.asks" (dict "probe" . "path" .path) | nindent 8 }}
        periodSeconds: 5
        timeoutSeconds: 5
        failureThreshold: 3
      livenessProbe: # the process alone: one that is busy is not restarted, nor one whose neighbour is away
        {{- include "bulkhead.asks" (dict "probe" . "path" (.alive | default .path)) | nindent 8 }}
        periodSeconds: 20
        timeoutSeconds: 10
        failureThreshold: 6
      {{- end }}
      {{- if .stop }}
      lifecycle: {preStop: {exec: {command: {{ .stop | toJson }}}}}
      {{- else if .drain }}
      lifecycle: {preStop: {sleep: {seconds: {{ .drain }}}}} # until no Service leads here any more
      {{- end }}
      resources:
        {{- toYaml $v.resources | nindent 8 }}
      securityContext:
        {{- include "bulkhead.walls" . | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if .keys }}
        - {name: secrets, mountPath: /run/secrets, readOnly: true}
        {{- end }}
        {{- with .mounts }}
        {{- . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {medium: Memory, sizeLimit: {{ .tmp | default "64Mi" }}}
    {{- if .keys }}
    - name: secrets
      secret:
        secretName: {{ include "bulkhead.secret" . }}
        defaultMode: 0400
        items: # a pod waits until each of them is there
          {{- range .keys }}
          - {key: {{ . }}, path: {{ . }}}
          {{- end }}
    {{- end }}
    {{- with .volumes }}
    {{- . | nindent 4 }}
    {{- end }}
{{- end }}

{{- define "bulkhead.walls" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "bulkhead.asks" -}}
{{- if .probe.exec -}}
exec: {command: {{ .probe.exec | toJson }}}
{{- else if and .probe.socket (not .path) -}}
tcpSocket: {port: {{ .probe.port }}}
{{- else -}}
httpGet: {path: {{ .path }}, port: {{ .probe.port }}}
{{- end -}}
{{- end }}

{{/* The Secret that a component reads: the one made here, or somebody else's. */}}
{{- define "bulkhead.secret" -}}
{{- $reader := get (dict "migrate" "ingest") .c | default .c -}}
{{- get .root.Values.secrets.existing $reader | default (include "bulkhead.name" (dict "root" .root "c" $reader)) -}}
{{- end }}

{{/* A Service, called with root, c, ports. */}}
{{- define "bulkhead.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "bulkhead.metadata" . | nindent 2 }}
spec:
  type: ClusterIP # with an address: that is what its callers are told
  selector:
    {{- include "bulkhead.selector" . | nindent 4 }}
  ports:
    {{- range $name, $number := .ports }}
    - {name: {{ $name }}, port: {{ $number }}, targetPort: {{ $name }}}
    {{- end }}
{{- end }}

{{/* A Deployment, called as bulkhead.pod. Where something else scales it, it names no number. */}}
{{- define "bulkhead.deployment" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "bulkhead.metadata" . | nindent 2 }}
spec:
  {{- if not (and .v.autoscaling .v.autoscaling.enabled) }}
  replicas: {{ .v.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    {{- if .recreate }}
    type: Recreate
    {{- else }}
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
    {{- end }}
  selector:
    matchLabels:
      {{- include "bulkhead.selector" . | nindent 6 }}
  template:
    {{- include "bulkhead.pod" . | nindent 4 }}
{{- end }}

{{/* A Job that runs once for each content, called as bulkhead.pod: its name changes with it, for no Job can be changed. */}}
{{- define "bulkhead.job" -}}
{{- $pod := include "bulkhead.pod" (merge (dict "ends" "OnFailure") .) -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ printf "%s-%s" (include "bulkhead.name" .) (sha256sum (print $pod .again) | trunc 8) }}
  namespace: {{ .root.Release.Namespace }}
  labels:
    {{- include "bulkhead.labels" . | nindent 4 }}
  {{- with .jobAnnotations }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  backoffLimit: {{ .retries | default 12 }}
  template:
    {{- $pod | nindent 4 }}
{{- end }}
