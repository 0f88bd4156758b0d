{{/* Template of a pool's pods. Call with (dict "root" $ "pool" POOL). */}}
{{- define "quartet.podTemplate" -}}
{{- $pool := .pool -}}
{{- $root := .root -}}
{{- with .pool.values -}}
metadata:
  # Without the chart's version, so that a new chart which changes nothing restarts nothing.
  labels:
    {{- toYaml $pool.selector | nindent 4 }}
    app.kubernetes.io/part-of: quartet
    {{- with .commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
    {{- with .podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    # Neither a ConfigMap nor a Secret restarts pods by itself.
    checksum/config: {{ include "quartet.settings" $pool | sha256sum }}
    {{- with $root.Values.secret.sessionKey }}
    checksum/secret: {{ sha256sum . }}
    {{- end }}
    {{- if .models.objectStore.enabled }}
    checksum/models: {{ include "quartet.storeSettings" .models.objectStore | sha256sum }}
    {{- end }}
    {{- with .podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "quartet.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ include "quartet.gracePeriodSeconds" . }}
  securityContext:
    {{- toYaml .podSecurityContext | nindent 4 }}
  {{- with include "quartet.placement" . | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "quartet.topologySpread" $pool | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with include "quartet.initContainers" $pool | trim }}
  {{- . | nindent 2 }}
  {{- end }}
  containers:
    - name: quartet
      {{- include "quartet.container" (dict "root" $root "pool" $pool) | nindent 6 }}
  volumes:
    {{- include "quartet.volumes" $pool | nindent 4 }}
{{- end -}}
{{- end -}}

{{/* preStop's sleep, then the server's delay and timeout, then time to close. */}}
{{- define "quartet.gracePeriodSeconds" -}}
{{- add .drain.preStopSeconds (ceil .drain.delaySeconds) (ceil .drain.timeoutSeconds) .drain.closingSeconds -}}
{{- end -}}

{{/* Which nodes; also those with GPUs where the pool has them. */}}
{{- define "quartet.placement" -}}
{{- $gpu := ternary .gpu (dict "nodeSelector" dict "tolerations" list) .gpu.enabled -}}
{{- with merge (deepCopy .nodeSelector) $gpu.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat .tolerations $gpu.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "quartet.topologySpread" -}}
{{- $selector := .selector -}}
{{- with .values.topologySpread -}}
{{- if .enabled -}}
{{- $rule := . -}}
topologySpreadConstraints:
  {{- range .topologyKeys }}
  - topologyKey: {{ . }}
    maxSkew: {{ $rule.maxSkew }}
    whenUnsatisfiable: {{ $rule.whenUnsatisfiable }}
    # Each revision by itself, else the old pods of a rollout decide where the new ones go.
    matchLabelKeys:
      - pod-template-hash
    labelSelector:
      matchLabels:
        {{- toYaml $selector | nindent 8 }}
  {{- end }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Only rolling updates have steps. */}}
{{- define "quartet.strategy" -}}
type: {{ .type }}
{{- if eq .type "RollingUpdate" }}
rollingUpdate:
  {{- toYaml .rollingUpdate | nindent 2 }}
{{- end }}
{{- end -}}
