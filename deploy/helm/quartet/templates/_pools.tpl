{{/*
The release's pools as a JSON list of {name, fullname, selector, labels, values}: one without a name
when the value `pools` is empty, else one for each of its entries, whose own values lie over the
release's. Every template that makes an object a pool ranges over this list.
*/}}
{{- define "quartet.pools" -}}
{{- $root := . -}}
{{- $base := omit .Values "pools" "global" -}}
{{- $pools := list -}}
{{- range $name, $own := .Values.pools | default (dict "" dict) -}}
{{- $values := mergeOverwrite (deepCopy $base) (deepCopy ($own | default dict)) -}}
{{- $stem := dict "stem" (include "quartet.fullname" $root) "suffix" $name -}}
{{- $selector := include "quartet.selectorLabels" $root | fromYaml -}}
{{- $labels := include "quartet.labels" $root | fromYaml -}}
{{- if $name -}}
{{- $_ := set $selector "quartet.dev/pool" $name -}}
{{- $_ := set $labels "quartet.dev/pool" $name -}}
{{- end -}}
{{- $pool := dict "name" $name "fullname" (include "quartet.suffixed" $stem) "selector" $selector "labels" $labels "values" $values -}}
{{- include "quartet.validate" $pool -}}
{{- $pools = append $pools $pool -}}
{{- end -}}
{{- $pools | toJson -}}
{{- end -}}

{{/* How messages name a value of this pool. */}}
{{- define "quartet.where" -}}
{{- if .name -}}pools.{{ .name }}.{{- end -}}
{{- end -}}

{{/* Refuses values that contradict each other, which the schema cannot see. */}}
{{- define "quartet.validate" -}}
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
{{- fail (printf "%smodels.persistentVolume needs existingClaim, or size for a claim that the chart makes" $where) -}}
{{- end -}}
{{- if and .values.models.objectStore.enabled (not .values.models.objectStore.url) -}}
{{- fail (printf "%smodels.objectStore.url is empty: expected where the models lie, for instance s3://bucket/models" $where) -}}
{{- end -}}
{{- end -}}

{{/* The image of a pool: by digest if there is one, else by tag; `-gpu` for GPUs. */}}
{{- define "quartet.image" -}}
{{- $image := .pool.values.image -}}
{{- $suffix := ternary "-gpu" "" .pool.values.gpu.enabled -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default (print .root.Chart.AppVersion $suffix)) -}}
{{- end -}}
{{- end -}}

{{/* Data of a pool's ConfigMap: the server's settings as environment variables. */}}
{{- define "quartet.settings" -}}
{{- $values := .values -}}
{{- $settings := dict -}}
{{- range $name, $value := $values.settings -}}
{{- $_ := set $settings $name (include "quartet.envText" $value) -}}
{{- end -}}
{{- $_ := set $settings "QUARTET_MODEL_REPOSITORY" $values.models.path -}}
{{- $_ := set $settings "QUARTET_HTTP_PORT" "8000" -}}
{{- $_ := set $settings "QUARTET_GRPC_PORT" "8001" -}}
{{- $_ := set $settings "QUARTET_METRICS_PORT" "8002" -}}
{{- with $values.models.names -}}
{{- $_ := set $settings "QUARTET_MODELS" (toJson .) -}}
{{- end -}}
{{- with $values.models.required -}}
{{- $_ := set $settings "QUARTET_REQUIRED_MODELS" (toJson .) -}}
{{- end -}}
{{- $_ := set $settings "QUARTET_DRAIN_DELAY_S" (include "quartet.envText" $values.drain.delaySeconds) -}}
{{- $_ := set $settings "QUARTET_DRAIN_TIMEOUT_S" (include "quartet.envText" $values.drain.timeoutSeconds) -}}
{{- $_ := set $settings "QUARTET_DEVICE" (ternary "cuda" "cpu" $values.gpu.enabled) -}}
{{- $settings | toYaml -}}
{{- end -}}

{{/* The Secret whose keys become environment variables. */}}
{{- define "quartet.secretName" -}}
{{- .Values.secret.existingSecret | default (include "quartet.fullname" .) -}}
{{- end -}}
