{{/* One entry of a HorizontalPodAutoscaler's metrics. Call with (dict "name" NAME "target" NUMBER). */}}
{{- define "quartet.hpaMetric" -}}
{{- if .target -}}
- type: Pods
  pods:
    metric:
      name: {{ .name }}
    target:
      type: AverageValue
      averageValue: {{ include "quartet.quantity" .target | quote }}
{{- end -}}
{{- end -}}

{{/* A number as Kubernetes writes quantities: 16, 700m. */}}
{{- define "quartet.quantity" -}}
{{- if eq (float64 .) (floor .) -}}
{{- int64 . -}}
{{- else -}}
{{- printf "%dm" (round (mulf . 1000) 0 | int64) -}}
{{- end -}}
{{- end -}}
