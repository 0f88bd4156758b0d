{{/* Volumes of a pool's pods. */}}
{{- define "quartet.volumes" -}}
{{- $fullname := .fullname -}}
{{- with .values -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ .tmpSizeLimit }}
{{- if .models.persistentVolume.enabled }}
- name: models
  persistentVolumeClaim:
    claimName: {{ .models.persistentVolume.existingClaim | default (include "quartet.suffixed" (dict "stem" $fullname "suffix" "models")) }}
    readOnly: {{ .models.persistentVolume.readOnly }}
{{- else if .models.objectStore.enabled }}
- name: models
  emptyDir:
    sizeLimit: {{ .models.objectStore.sizeLimit }}
{{- end }}
{{- with .extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Init containers: the copy of models out of an object store, then the user's own. */}}
{{- define "quartet.initContainers" -}}
{{- if or .models.objectStore.enabled .extraInitContainers -}}
initContainers:
{{- if .models.objectStore.enabled }}
  - name: fetch-models
    {{- include "quartet.fetchModels" . | nindent 4 }}
{{- end }}
{{- with .extraInitContainers }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "quartet.fetchModels" -}}
{{- $store := .models.objectStore -}}
image: {{ $store.image }}
imagePullPolicy: {{ .image.pullPolicy }}
args: ["copy", {{ $store.url | quote }}, {{ .models.path | quote }}]
{{- with $store.existingSecret }}
envFrom:
  - secretRef:
      name: {{ . }}
{{- end }}
resources:
  {{- toYaml $store.resources | nindent 2 }}
securityContext:
  {{- toYaml .securityContext | nindent 2 }}
volumeMounts:
  - name: models
    mountPath: {{ .models.path }}
  - name: tmp
    mountPath: /tmp
{{- end -}}
