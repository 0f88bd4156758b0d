{{/*
Refuses values that contradict each other, which the schema cannot see. Messages begin with the
value's name, as `helm --set` takes it.
*/}}

{{/* How messages name a value of this pool. */}}
{{- define "quartet.where" -}}
{{- if .name -}}pools.{{ .name }}.{{- end -}}
{{- end -}}

{{/* A pool. */}}
{{- define "quartet.validate" -}}
{{- if regexMatch "^(grpc|metrics|models|test)-" .name -}}
{{- fail (printf "pools.%s: the name begins as those of another pool's objects do; choose one without grpc-, metrics-, models-, test- in front" .name) -}}
{{- end -}}
{{- include "quartet.validateScaling" . -}}
{{- include "quartet.validateModels" . -}}
{{- include "quartet.validateStrategy" . -}}
{{- end -}}

{{- define "quartet.validateScaling" -}}
{{- $where := include "quartet.where" . -}}
{{- with .values.autoscaling -}}
{{- if and .hpa.enabled .keda.enabled -}}
{{- fail (printf "%sautoscaling.hpa.enabled and %sautoscaling.keda.enabled are both true: KEDA makes its own HorizontalPodAutoscaler, two would fight. Set one to false" $where $where) -}}
{{- end -}}
{{- if gt (int .minReplicas) (int .maxReplicas) -}}
{{- fail (printf "%sautoscaling.minReplicas is %d: expected at most maxReplicas, %d" $where (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- if and .hpa.enabled (lt (int .minReplicas) 1) -}}
{{- fail (printf "%sautoscaling.minReplicas is 0: a HorizontalPodAutoscaler keeps at least one replica; only autoscaling.keda scales to zero" $where) -}}
{{- end -}}
{{- if and .keda.enabled .keda.scaleToZero (lt (int .minReplicas) 1) -}}
{{- fail (printf "%sautoscaling.minReplicas is 0: with autoscaling.keda.scaleToZero it is the number once anybody asks, at least 1" $where) -}}
{{- end -}}
{{- $measured := or .targets.queueSize .targets.utilization .targets.loopUtilization -}}
{{- if and (or .keda.enabled (and .hpa.enabled (not .hpa.extraMetrics))) (not $measured) -}}
{{- fail (printf "%sautoscaling.targets are all 0: an autoscaler needs one that is not" $where) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "quartet.validateModels" -}}
{{- $where := include "quartet.where" . -}}
{{- $volume := .values.models.persistentVolume -}}
{{- $store := .values.models.objectStore -}}
{{- if and $volume.enabled $store.enabled -}}
{{- fail (printf "%smodels.persistentVolume.enabled and %smodels.objectStore.enabled are both true: models come from one place. Set one to false" $where $where) -}}
{{- end -}}
{{- if and $volume.enabled (not $volume.existingClaim) (not $volume.size) -}}
{{- fail (printf "%smodels.persistentVolume has neither existingClaim nor size: expected a claim that exists, or the size of one that the chart makes" $where) -}}
{{- end -}}
{{- if and $volume.enabled $volume.existingClaim $volume.size -}}
{{- fail (printf "%smodels.persistentVolume has existingClaim and size: expected one of them" $where) -}}
{{- end -}}
{{- if and $store.enabled (not $store.path) -}}
{{- fail (printf "%smodels.objectStore.path is empty: expected bucket and prefix, for instance models/2025-01-01" $where) -}}
{{- end -}}
{{- end -}}

{{- define "quartet.validateStrategy" -}}
{{- $where := print (include "quartet.where" .) (ternary "gpu." "" .values.gpu.enabled) -}}
{{- with ternary .values.gpu.strategy .values.strategy .values.gpu.enabled -}}
{{- $zero := list "0" "0%" -}}
{{- if and (eq .type "RollingUpdate") (has (toString .rollingUpdate.maxSurge) $zero) (has (toString .rollingUpdate.maxUnavailable) $zero) -}}
{{- fail (printf "%sstrategy.rollingUpdate: maxSurge and maxUnavailable are both 0, so that no rollout could make a step" $where) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The release's own values, against each other and its pools. Call with (dict "root" $ "pools" LIST). */}}
{{- define "quartet.validateRelease" -}}
{{- $values := .root.Values -}}
{{- $routed := or $values.httpRoute.enabled $values.grpcRoute.enabled -}}
{{- $claims := list -}}
{{- range $pool := .pools -}}
{{- $where := include "quartet.where" . -}}
{{- if .values.routing.default -}}
{{- $claims = append $claims (printf "%srouting.default" $where) -}}
{{- end -}}
{{- $keda := .values.autoscaling.keda -}}
{{- if and $keda.enabled $keda.scaleToZero (not $keda.gatewayQuery) (not $routed) -}}
{{- fail (printf "%sautoscaling.keda.scaleToZero: nothing would wake the replicas. Enable httpRoute or grpcRoute, or say in gatewayQuery how requests are counted" $where) -}}
{{- end -}}
{{- end -}}
{{- if gt (len $claims) 1 -}}
{{- fail (printf "%s are all true: one pool answers what none claims" (join ", " $claims)) -}}
{{- end -}}
{{- if and $values.gateway.enabled (not $values.gateway.listeners) -}}
{{- fail "gateway.listeners is empty: expected at least one, {name: http, protocol: HTTP, port: 80}" -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) -}}
{{- fail "ingress.hosts is empty: expected the names that clients use" -}}
{{- end -}}
{{- if and $values.service.grpc.headless (ne $values.service.grpc.type "ClusterIP") -}}
{{- fail (printf "service.grpc.type is %s and service.grpc.headless is true: only ClusterIP can be headless. Set headless to false" $values.service.grpc.type) -}}
{{- end -}}
{{- if and $values.secret.existingSecret $values.secret.sessionKey -}}
{{- fail "secret.sessionKey and secret.existingSecret are both set: put the key into the existing Secret, or let the chart make one" -}}
{{- end -}}
{{- end -}}
