{{/* The server's container. Call with (dict "root" $ "pool" POOL). */}}
{{- define "quartet.container" -}}
{{- $root := .root -}}
{{- $pool := .pool -}}
{{- with .pool.values -}}
image: {{ include "quartet.image" (dict "root" $root "pool" $pool) }}
imagePullPolicy: {{ .image.pullPolicy }}
args:
  {{- prepend .extraArgs "serve" | toYaml | nindent 2 }}
ports:
  - name: http
    containerPort: 8000
    protocol: TCP
  - name: grpc
    containerPort: 8001
    protocol: TCP
  - name: metrics
    containerPort: 8002
    protocol: TCP
envFrom:
  - configMapRef:
      name: {{ $pool.fullname }}
  - secretRef:
      name: {{ include "quartet.secretName" $root }}
      optional: true
  {{- with .extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .extraEnv }}
env:
  {{- toYaml . | nindent 2 }}
{{- end }}
resources:
  {{- include "quartet.resources" . | nindent 2 }}
securityContext:
  {{- toYaml .securityContext | nindent 2 }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .drain.preStopSeconds }}
{{- include "quartet.probes" .probes | nindent 0 }}
volumeMounts:
  {{- include "quartet.volumeMounts" . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Resources, and one GPU where the pool has them: one process drives one GPU. */}}
{{- define "quartet.resources" -}}
{{- $resources := deepCopy .resources -}}
{{- if .gpu.enabled -}}
{{- $gpu := dict "limits" (dict .gpu.resource "1") -}}
{{- $resources = mergeOverwrite $resources $gpu -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{/* Paths are the server's; only times and counts are values. */}}
{{- define "quartet.probes" -}}
startupProbe:
  httpGet:
    path: /v2/health/started
    port: http
  {{- toYaml .startup | nindent 2 }}
livenessProbe:
  httpGet:
    path: /v2/health/live
    port: http
  {{- toYaml .liveness | nindent 2 }}
readinessProbe:
  httpGet:
    path: /v2/health/ready
    port: http
  {{- toYaml .readiness | nindent 2 }}
{{- end -}}
