{{/*
Groups of the rules that `python -m quartet.monitoring` writes, for this release: its job, and the
replicas that it always has. Read as data, never as a template: the alerts' own texts hold braces,
which Prometheus fills.
*/}}
{{- define "quartet.rules" -}}
{{- $root := . -}}
{{- $replicas := include "quartet.leastReplicas" . | fromJson -}}
{{- $least := int $replicas.least -}}
{{- $job := printf `job="%s"` (include "quartet.name" .) -}}
{{- $unwanted := .Values.prometheusRule.disabledAlerts -}}
{{/* Having no replica is no fault where that was asked for. */}}
{{- if not $replicas.always -}}{{- $unwanted = append $unwanted "QuartetAbsent" -}}{{- end -}}
{{- if not $least -}}{{- $unwanted = append $unwanted "QuartetReplicaMissing" -}}{{- end -}}
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

{{/*
Replicas over the pools as JSON. `always`: at any load. `least`: when anybody is served; the same, or
those of the smallest pool where all of them go to zero.
*/}}
{{- define "quartet.leastReplicas" -}}
{{- $always := 0 -}}
{{- $awake := 0 -}}
{{- range include "quartet.pools" . | fromJsonArray -}}
{{- $scaling := .values.autoscaling -}}
{{- if and $scaling.keda.enabled $scaling.keda.scaleToZero -}}
{{- $awake = ternary (int $scaling.minReplicas) (min $awake $scaling.minReplicas) (eq 0 (int $awake)) -}}
{{- else if or $scaling.hpa.enabled $scaling.keda.enabled -}}
{{- $always = add $always (int $scaling.minReplicas) -}}
{{- else -}}
{{- $always = add $always (int .values.replicaCount) -}}
{{- end -}}
{{- end -}}
{{- dict "always" $always "least" (ternary $always $awake (gt (int $always) 0)) | toJson -}}
{{- end -}}
