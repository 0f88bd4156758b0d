{{/* How messages name a value of this pool. */}}
{{- define "quartet.where" -}}
{{- if .name -}}pools.{{ .name }}.{{- end -}}
{{- end -}}

{{/* Refuses values that contradict each other, which the schema cannot see. */}}
{{- define "quartet.validate" -}}
{{- if regexMatch "^(grpc|metrics|models|test)-" .name -}}
{{- fail (printf "pools.%s: the name begins as those of another pool's objects do; choose one without grpc-, metrics-, models-, test- in front" .name) -}}
{{- end -}}
{{- $where := include "quartet.where" . -}}
{{- $scaling := .values.autoscaling -}}
{{- if and $scaling.hpa.enabled $scaling.keda.enabled -}}
{{- fail (printf "%sautoscaling.hpa.enabled and %sautoscaling.keda.enabled are both true: KEDA makes its own HorizontalPodAutoscaler, two would fight. Set one to false" $where $where) -}}
{{- end -}}
{{- if and .values.models.persistentVolume.enabled .values.models.objectStore.enabled -}}
{{- fail (printf "%smodels.persistentVolume.enabled and %smodels.objectStore.enabled are both true: models come from one place. Set one to false" $where $where) -}}
{{- end -}}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) -}}
{{- fail (printf "%sautoscaling.minReplicas is %d: expected at most maxReplicas, %d" $where (int $scaling.minReplicas) (int $scaling.maxReplicas)) -}}
{{- end -}}
{{- if and $scaling.hpa.enabled (lt (int $scaling.minReplicas) 1) -}}
{{- fail (printf "%sautoscaling.minReplicas is 0: a HorizontalPodAutoscaler keeps at least one replica; only autoscaling.keda scales to zero" $where) -}}
{{- end -}}
{{- $volume := .values.models.persistentVolume -}}
{{- if and $volume.enabled (not $volume.existingClaim) (not $volume.size) -}}
{{- fail (printf "%smodels.persistentVolume has neither existingClaim nor size: expected a claim that exists, or the size of one that the chart makes" $where) -}}
{{- end -}}
{{- if and $volume.enabled $volume.existingClaim $volume.size -}}
{{- fail (printf "%smodels.persistentVolume has existingClaim and size: expected one of them" $where) -}}
{{- end -}}
{{- if and .values.models.objectStore.enabled (not .values.models.objectStore.path) -}}
{{- fail (printf "%smodels.objectStore.path is empty: expected bucket and prefix, for instance models/2025-01-01" $where) -}}
{{- end -}}
{{- end -}}

{{/* Refuses what pools and the release's own values say against each other. */}}
{{- define "quartet.validateRelease" -}}
{{- $values := .root.Values -}}
{{- $routed := or $values.httpRoute.enabled $values.grpcRoute.enabled -}}
{{- $claims := list -}}
{{- range $pool := .pools -}}
{{- if .values.routing.default -}}
{{- $claims = append $claims (printf "%srouting.default" (include "quartet.where" .)) -}}
{{- end -}}
{{- $keda := .values.autoscaling.keda -}}
{{- if and $keda.enabled $keda.scaleToZero (not $keda.gatewayQuery) (not $routed) -}}
{{- fail (printf "%sautoscaling.keda.scaleToZero: nothing would wake the replicas. Enable httpRoute or grpcRoute, or say in gatewayQuery how requests are counted" (include "quartet.where" .)) -}}
{{- end -}}
{{- end -}}
{{- if gt (len $claims) 1 -}}
{{- fail (printf "%s are all true: one pool answers what none claims" (join ", " $claims)) -}}
{{- end -}}
{{- end -}}
