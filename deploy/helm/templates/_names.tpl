{{- define "tidegate.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* Names begin with the release's. */}}
{{- define "tidegate.meta" -}}
name: {{ .Release.Name }}
labels:
  {{- include "tidegate.labels" . | nindent 2 }}
{{- end }}

{{- define "tidegate.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- /* Three quarters of the memory limit, in MiB. */}}
{{- define "tidegate.gomemlimit" -}}
{{- $limit := .Values.resources.limits.memory | toString }}
{{- if hasSuffix "Gi" $limit -}}
{{ mul 768 (trimSuffix "Gi" $limit) }}MiB
{{- else if hasSuffix "Mi" $limit -}}
{{ div (mul 3 (trimSuffix "Mi" $limit)) 4 }}MiB
{{- else }}
{{- fail "resources.limits.memory: want whole Mi or Gi" }}
{{- end }}
{{- end }}
