{{/*
Groups of the rules that `python -m quartet.monitoring` writes, for this release: its job, and the
replicas that it always has. Read as data, never as a template: the alerts' own texts hold braces,
which Prometheus fills.
*/}}
{{- define "quartet.rules" -}}
{{- $root := . -}}
{{- $least := include "quartet.leastReplicas" . | int -}}
{{- $job := printf `job="%s"` (include "quartet.name" .) -}}
{{- $unwanted := concat .Values.prometheusRule.disabledAlerts (ternary (list) (list "QuartetAbsent" "QuartetReplicaMissing") (gt $least 0)) -}}
{{- $groups := list -}}
{{- range (.Files.Get "files/rules.yaml" | fromYaml).groups -}}
{{- $rules := list -}}
{{- range .rules -}}
{{- $rule := set . "expr" (.expr | replace `job="quartet"` $job) -}}
{{- if eq (.alert | default "") "QuartetReplicaMissing" -}}
{{- $_ := set $rule "expr" (regexReplaceAll "< [0-9]+$" .expr (printf "< %d" $least)) -}}
{{- $_ := set .annotations "summary" (regexReplaceAll "instead of [0-9]+" .annotations.summary (printf "instead of %d" $least)) -}}
{{- end -}}
{{- if not (has .alert $unwanted) -}}
{{- $rules = append $rules $rule -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (set . "rules" $rules) -}}
{{- end -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}

{{/* Replicas that the release has whatever its load, over its pools. */}}
{{- define "quartet.leastReplicas" -}}
{{- $least := 0 -}}
{{- range include "quartet.pools" . | fromJsonArray -}}
{{- $scaling := .values.autoscaling -}}
{{- if and $scaling.keda.enabled $scaling.keda.scaleToZero -}}
{{- else if or $scaling.hpa.enabled $scaling.keda.enabled -}}
{{- $least = add $least (int $scaling.minReplicas) -}}
{{- else -}}
{{- $least = add $least (int .values.replicaCount) -}}
{{- end -}}
{{- end -}}
{{- $least -}}
{{- end -}}
