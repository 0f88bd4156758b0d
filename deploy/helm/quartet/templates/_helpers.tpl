{{/* Name of the application in the label app.kubernetes.io/name. */}}
{{- define "quartet.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Stem of every object's name: the release, followed by the chart unless the release says it. */}}
{{- define "quartet.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
The name `stem-suffix` in at most 63 characters. The stem is cut, never the suffix, so that names
which differ by their suffix still differ. Call with (dict "stem" STEM "suffix" SUFFIX).
*/}}
{{- define "quartet.suffixed" -}}
{{- if .suffix -}}
{{- printf "%s-%s" (.stem | trunc (int (sub 62 (len .suffix))) | trimSuffix "-") .suffix -}}
{{- else -}}
{{- .stem -}}
{{- end -}}
{{- end -}}

{{/* Name of an object of a pool: stem-suffix-pool. Call with (dict "pool" POOL "suffix" SUFFIX). */}}
{{- define "quartet.objectName" -}}
{{- $suffix := printf "%s-%s" .suffix .pool.name | trimSuffix "-" -}}
{{- include "quartet.suffixed" (dict "stem" .pool.stem "suffix" $suffix) -}}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "quartet.labels" -}}
app.kubernetes.io/name: {{ include "quartet.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
app.kubernetes.io/part-of: quartet
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels that find every server of the release, whatever its pool. They may never change. */}}
{{- define "quartet.selectorLabels" -}}
app.kubernetes.io/name: {{ include "quartet.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{/* Labels that find the pods of `helm test`. */}}
{{- define "quartet.testLabels" -}}
{{- set (include "quartet.selectorLabels" . | fromYaml) "app.kubernetes.io/component" "test" | toYaml -}}
{{- end -}}

{{- define "quartet.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "quartet.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* A number, boolean, list or text as text. Helm holds numbers as floating point, whose own form of a
million is 1e+06; JSON's is 1000000. */}}
{{- define "quartet.text" -}}
{{- if kindIs "string" . -}}{{- . -}}{{- else -}}{{- toJson . -}}{{- end -}}
{{- end -}}
