{{/* Who decides the number of replicas of a pool's values, for people. */}}
{{- define "quartet.replicasText" -}}
{{- $scaler := ternary "HPA" (ternary "KEDA" "" .autoscaling.keda.enabled) .autoscaling.hpa.enabled -}}
{{- if $scaler -}}
{{- printf "%d to %d replicas by %s" (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas) $scaler -}}
{{- else -}}
{{- printf "%d replicas" (int .replicaCount) -}}
{{- end -}}
{{- end -}}

{{/* Where a pool's models come from, for people. */}}
{{- define "quartet.modelsText" -}}
{{- with .values.models -}}
{{- .names | join ", " | default "all" }}
{{- if .persistentVolume.enabled }} of the volume {{ include "quartet.claimName" $ }}
{{- else if .objectStore.enabled }} of {{ .objectStore.url }}
{{- else }} of the image
{{- end }}
{{- end -}}
{{- end -}}
