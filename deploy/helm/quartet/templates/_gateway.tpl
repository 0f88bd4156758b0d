{{/* Gateways of a route; by default the release's own. Call with (dict "root" $ "route" VALUES). */}}
{{- define "quartet.parentRefs" -}}
{{- .route.parentRefs | default (list (dict "name" (include "quartet.fullname" .root))) | toYaml -}}
{{- end -}}

{{/* Metadata of a route. Call with (dict "root" $ "route" VALUES). */}}
{{- define "quartet.routeMetadata" -}}
name: {{ include "quartet.fullname" .root }}
labels:
  {{- include "quartet.labels" .root | nindent 2 }}
  {{- with .route.labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .route.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Models whose requests must be led to a pool, as a JSON list: the pool that answers what no pool
claims gets its own without. */}}
{{- define "quartet.routedModels" -}}
{{- $models := concat .values.models.names .values.routing.models -}}
{{- ternary list $models (eq "true" (include "quartet.isDefaultPool" .)) | uniq | toJson -}}
{{- end -}}

{{/*
Prefixes of paths that lead to a pool, as a JSON list. Prefixes end at a `/`, so that `a` is not
`a.critic`. What nobody claims: what clients use, and not /metrics, which is on this port too.
*/}}
{{- define "quartet.routedPaths" -}}
{{- $paths := .values.routing.paths -}}
{{- range include "quartet.routedModels" . | fromJsonArray -}}
{{- $paths = concat $paths (list (print "/v2/models/" .) (print "/v1/models/" .)) -}}
{{- end -}}
{{- $paths | uniq | toJson -}}
{{- end -}}

{{/* Whether a pool answers what no pool claims: the only one does, or the one that says so. */}}
{{- define "quartet.isDefaultPool" -}}
{{- if or (not .name) .values.routing.default -}}true{{- end -}}
{{- end -}}

{{- define "quartet.hasDefaultPool" -}}
{{- range include "quartet.pools" . | fromJsonArray -}}{{- include "quartet.isDefaultPool" . -}}{{- end -}}
{{- end -}}

{{- define "quartet.httpRule" -}}
- matches:
    {{- range .matches }}
    - path:
        {{- toYaml . | nindent 8 }}
    {{- end }}
  timeouts:
    request: {{ .timeout }}
  backendRefs:
    - name: {{ .name }}
      port: {{ .port }}
{{- end -}}

{{/* Rules of the HTTPRoute. Eight matches each, as Gateway API 1.0 allows. */}}
{{- define "quartet.httpRules" -}}
{{- $root := . -}}
{{- $rest := list (dict "type" "PathPrefix" "value" "/v1") (dict "type" "PathPrefix" "value" "/v2") (dict "type" "PathPrefix" "value" "/docs") (dict "type" "Exact" "value" "/openapi.json") -}}
{{- range $pool := include "quartet.pools" . | fromJsonArray -}}
{{- $rule := dict "name" .fullname "port" $root.Values.service.http.port "timeout" $root.Values.httpRoute.timeout -}}
{{- $matches := list -}}
{{- range include "quartet.routedPaths" $pool | fromJsonArray -}}
{{- $matches = append $matches (dict "type" "PathPrefix" "value" .) -}}
{{- end -}}
{{- range chunk 8 $matches }}
{{ include "quartet.httpRule" (set $rule "matches" .) }}
{{- end }}
{{- if include "quartet.isDefaultPool" $pool }}
{{ include "quartet.httpRule" (set $rule "matches" $rest) }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "quartet.grpcRule" -}}
- matches:
    {{- toYaml .matches | nindent 4 }}
  backendRefs:
    - name: {{ .name }}
      port: {{ .port }}
{{- end -}}

{{/* Rules of the GRPCRoute. Typed calls go by their names. Which model a message of the inference
protocol names, a gateway cannot read, so clients say it in the metadatum `quartet-model`. It stands
beside the service, since a match by service alone would win over one by header alone. */}}
{{- define "quartet.grpcRules" -}}
{{- $root := . -}}
{{- $rest := list -}}
{{- range list "inference.GRPCInferenceService" "quartet.v1.Quartet" "grpc.health.v1.Health" "grpc.reflection.v1alpha.ServerReflection" -}}
{{- $rest = append $rest (dict "method" (dict "type" "Exact" "service" .)) -}}
{{- end -}}
{{- range $pool := include "quartet.pools" . | fromJsonArray -}}
{{- $rule := dict "name" (include "quartet.objectName" (dict "pool" . "suffix" "grpc")) "port" $root.Values.service.grpc.port -}}
{{- $matches := list -}}
{{- range .values.routing.calls -}}
{{- $matches = append $matches (dict "method" (dict "type" "Exact" "service" "quartet.v1.Quartet" "method" .)) -}}
{{- end -}}
{{- range include "quartet.routedModels" $pool | fromJsonArray -}}
{{- $method := dict "type" "Exact" "service" "inference.GRPCInferenceService" -}}
{{- $matches = append $matches (dict "method" $method "headers" (list (dict "name" "quartet-model" "value" .))) -}}
{{- end -}}
{{- range chunk 8 $matches }}
{{ include "quartet.grpcRule" (set $rule "matches" .) }}
{{- end }}
{{- if include "quartet.isDefaultPool" $pool }}
{{ include "quartet.grpcRule" (set $rule "matches" $rest) }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "quartet.ingressPath" -}}
- path: {{ .path }}
  pathType: {{ .type | default "Prefix" }}
  backend:
    service:
      name: {{ .name }}
      port:
        name: http
{{- end -}}

{{/* Paths of the Ingress, as the HTTPRoute has them. */}}
{{- define "quartet.ingressPaths" -}}
{{- range $pool := include "quartet.pools" . | fromJsonArray -}}
{{- range include "quartet.routedPaths" $pool | fromJsonArray }}
{{ include "quartet.ingressPath" (dict "path" . "name" $pool.fullname) }}
{{- end }}
{{- if include "quartet.isDefaultPool" $pool }}
{{- range list "/v1" "/v2" "/docs" }}
{{ include "quartet.ingressPath" (dict "path" . "name" $pool.fullname) }}
{{- end }}
{{ include "quartet.ingressPath" (dict "path" "/openapi.json" "type" "Exact" "name" $pool.fullname) }}
{{- end }}
{{- end -}}
{{- end -}}
