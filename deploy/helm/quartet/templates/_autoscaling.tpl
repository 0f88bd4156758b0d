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

{{/* Triggers of a pool's ScaledObject. Call with (dict "root" $ "pool" POOL). */}}
{{- define "quartet.kedaTriggers" -}}
{{- $keda := .pool.values.autoscaling.keda -}}
{{- $targets := .pool.values.autoscaling.targets -}}
{{- $samples := include "quartet.samples" . -}}
{{/* Each query is a sum over the replicas, its threshold what one of them should carry. Idle engines
are at 0; probes and scrapes keep an idle loop at about 0.004, eight of them stay below 0.1. */}}
{{- $triggers := list
  (dict "name" "queue" "query" (printf "sum(quartet_queue_size{%s})" $samples) "threshold" $targets.queueSize "activation" 0)
  (dict "name" "utilization" "query" (printf "sum(quartet_utilization{%s})" $samples) "threshold" $targets.utilization "activation" 0.01)
  (dict "name" "loop" "query" (printf "sum(quartet_loop_utilization{%s})" $samples) "threshold" $targets.loopUtilization "activation" 0.1)
-}}
{{/* Any request wakes; how many replicas there should be is for the others to say. */}}
{{- if $keda.scaleToZero -}}
{{- $triggers = append $triggers (dict "name" "gateway" "query" (include "quartet.gatewayQuery" .) "threshold" 1000000 "activation" 0) -}}
{{- end -}}
{{- range $triggers -}}
{{- if .threshold }}
- type: prometheus
  name: {{ .name }}
  metricType: AverageValue
  metadata:
    serverAddress: {{ $keda.serverAddress }}
    query: {{ .query | quote }}
    threshold: {{ toJson .threshold | quote }}
    activationThreshold: {{ toJson .activation | quote }}
  {{- with $keda.authenticationRef }}
  authenticationRef:
    name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Which samples are a pool's: the inside of a PromQL matcher. A namespace may hold several releases
and pools of one job, so pods are told apart by the name of their Deployment. */}}
{{- define "quartet.samples" -}}
{{- $default := printf `namespace="%s",job="%s",pod=~"%s"` .root.Release.Namespace (include "quartet.name" .root) (include "quartet.podNames" .pool.fullname) -}}
{{- .pool.values.autoscaling.keda.selector | default $default -}}
{{- end -}}

{{/* Regular expression of the names of a Deployment's pods: NAME-HASH-XXXXX, of which Kubernetes cuts
all but the last five characters at 58. */}}
{{- define "quartet.podNames" -}}
{{- if le (len .) 46 -}}
{{- . -}}-[a-z0-9]+-[a-z0-9]{5}
{{- else -}}
{{- print . "-" | trunc 58 -}}[-a-z0-9]+
{{- end -}}
{{- end -}}

{{/* Requests a second at the release's first Gateway, as Envoy Gateway counts them at its listeners:
behind those there is nothing that could count while there is no replica. */}}
{{- define "quartet.gatewayQuery" -}}
{{- $gateway := index (include "quartet.parentRefs" (dict "root" .root "route" .root.Values.httpRoute) | fromYamlArray) 0 -}}
{{- $default := printf `sum(rate(envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix=~"https?-.*",gateway_envoyproxy_io_owning_gateway_name="%s",gateway_envoyproxy_io_owning_gateway_namespace="%s"}[1m]))` $gateway.name ($gateway.namespace | default .root.Release.Namespace) -}}
{{- .pool.values.autoscaling.keda.gatewayQuery | default $default -}}
{{- end -}}
