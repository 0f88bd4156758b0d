{{/* The claim that a pool's models lie on: the user's, or one that the chart makes. */}}
{{- define "quartet.claimName" -}}
{{- .values.models.persistentVolume.existingClaim | default (include "quartet.objectName" (dict "pool" . "suffix" "models")) -}}
{{- end -}}

{{/* Volumes of a pool's pods. */}}
{{- define "quartet.volumes" -}}
{{- $claim := include "quartet.claimName" . -}}
{{- with .values -}}
- name: tmp
  emptyDir:
    sizeLimit: {{ include "quartet.text" .tmpSizeLimit }}
{{- if .models.persistentVolume.enabled }}
- name: models
  persistentVolumeClaim:
    claimName: {{ $claim }}
    readOnly: true
{{- else if .models.objectStore.enabled }}
- name: models
  emptyDir:
    sizeLimit: {{ include "quartet.text" .models.objectStore.sizeLimit }}
{{- end }}
{{- with .extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
{{- end -}}

{{/* Mounts of the server. Models on a volume lie over the image's own. */}}
{{- define "quartet.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if or .models.persistentVolume.enabled .models.objectStore.enabled }}
- name: models
  mountPath: {{ .models.path }}
  readOnly: true
  {{- if and .models.persistentVolume.enabled .models.persistentVolume.subPath }}
  subPath: {{ .models.persistentVolume.subPath }}
  {{- end }}
{{- end }}
{{- with .extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The copy of models out of an object store, then the user's own init containers. */}}
{{- define "quartet.initContainers" -}}
{{- if or .values.models.objectStore.enabled .values.extraInitContainers -}}
initContainers:
{{- if .values.models.objectStore.enabled }}
  {{- include "quartet.copyModels" . | nindent 2 }}
{{- end }}
{{- with .values.extraInitContainers }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "quartet.copyModels" -}}
{{- $name := include "quartet.objectName" (dict "pool" . "suffix" "models") -}}
{{- with .values -}}
- name: models
  image: {{ .models.objectStore.image }}
  imagePullPolicy: {{ .image.pullPolicy }}
  # A bucket that is missing, a store that does not answer and a prefix without objects are errors,
  # after which the kubelet runs this again; a server without models would be ready and know none.
  # Everything is copied each time, else a repeated copy would count as one of nothing.
  args:
    - copy
    - --config=
    - --error-on-no-transfer
    - --ignore-times
    - --fast-list
    - --transfers=8
    - --retries=5
    - --retries-sleep=5s
    - --contimeout=10s
    - --timeout=60s
    - --use-json-log
    - --log-level=INFO
    - --stats=10s
    - store:$(MODELS_PATH)
    - {{ .models.path }}
  envFrom:
    - configMapRef:
        name: {{ $name }}
    {{- with .models.objectStore.existingSecret }}
    - secretRef:
        name: {{ . }}
    {{- end }}
  resources:
    {{- toYaml .models.objectStore.resources | nindent 4 }}
  securityContext:
    {{- toYaml .securityContext | nindent 4 }}
  volumeMounts:
    - name: models
      mountPath: {{ .models.path }}
{{- end -}}
{{- end -}}

{{/* rclone's environment: where the models are and how the store is reached. */}}
{{- define "quartet.storeSettings" -}}
MODELS_PATH: {{ .path | quote }}
{{- range $name, $value := .remote }}
RCLONE_CONFIG_STORE_{{ $name }}: {{ include "quartet.text" $value | quote }}
{{- end }}
{{- end -}}
