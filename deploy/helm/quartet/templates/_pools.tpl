{{/*
The release's pools as a JSON list of {name, stem, fullname, selector, labels, values}: one without a name
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
{{- $pool := dict "name" $name "stem" $stem.stem "fullname" (include "quartet.suffixed" $stem) "selector" $selector "labels" $labels "values" $values -}}
{{- include "quartet.validate" $pool -}}
{{- $pools = append $pools $pool -}}
{{- end -}}
{{- include "quartet.validateRelease" (dict "root" $root "pools" $pools) -}}
{{- $pools | toJson -}}
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
{{- $_ := set $settings $name (include "quartet.text" $value) -}}
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
{{- $_ := set $settings "QUARTET_DRAIN_DELAY_S" (include "quartet.text" $values.drain.delaySeconds) -}}
{{- $_ := set $settings "QUARTET_DRAIN_TIMEOUT_S" (include "quartet.text" $values.drain.timeoutSeconds) -}}
{{- $_ := set $settings "QUARTET_DEVICE" (ternary "cuda" "cpu" $values.gpu.enabled) -}}
{{- $settings | toYaml -}}
{{- end -}}

{{/* The Secret whose keys become environment variables. */}}
{{- define "quartet.secretName" -}}
{{- .Values.secret.existingSecret | default (include "quartet.fullname" .) -}}
{{- end -}}
