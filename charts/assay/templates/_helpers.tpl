{{- define "assay.labels" -}}
app.kubernetes.io/name: assay
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "assay.selector" -}}
app.kubernetes.io/name: assay
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "assay.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "assay.storeSecret" -}}
{{ .Values.store.existingSecret | default "assay-store" }}
{{- end }}

{{- define "assay.endpoint" -}}
{{- if .Values.minio.enabled -}}
http://assay-minio.{{ .Release.Namespace }}.svc:9000
{{- else -}}
{{ required "store.endpoint: say where the S3-compatible store is, or try it out with minio.enabled=true" .Values.store.endpoint }}
{{- end -}}
{{- end }}

{{- /* A plain manifest of ours, for this release: its namespace, and its bucket. */ -}}
{{- define "assay.localised" -}}
{{- $text := .text -}}
{{- $text = $text | replace "system:serviceaccount:assay-system:assay-operator" (printf "system:serviceaccount:%s:assay-operator" .root.Release.Namespace) -}}
{{- $text = $text | replace "namespace: assay-system" (printf "namespace: %s" .root.Release.Namespace) -}}
{{- $text | replace "s3://assay/" (printf "s3://%s/" .root.Values.store.bucket) -}}
{{- end }}
