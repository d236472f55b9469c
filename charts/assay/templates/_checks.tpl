{{- /* Mistakes in the values that their schema cannot express: one line each, or "". */ -}}
{{- define "assay.faults" -}}
{{- $store := .Values.store -}}
{{- if and .Values.minio.enabled $store.endpoint }}
- store.endpoint and minio.enabled are both set: leave out store.endpoint, or set minio.enabled=false
{{- else if not (or .Values.minio.enabled $store.endpoint) }}
- store.endpoint: say where the S3-compatible store is, or try it out with minio.enabled=true
{{- end }}
{{- range $name := list "endpoint" "runEndpoint" }}
{{- $url := get $store $name }}
{{- if and $url (not (regexMatch "^https?://[^/?#@]+/?$" $url)) }}
- store.{{ $name }} is {{ regexReplaceAll "//[^/@]*@" $url "//…@" | quote }}: it must be like https://s3.example.com:9000, without a path
{{- end }}
{{- end }}
{{- if not (regexMatch "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$" $store.bucket) }}
- store.bucket is {{ $store.bucket | quote }}: a bucket's name has 3 to 63 lower-case letters, digits, dots and dashes
{{- end }}
{{- with .Values.audit.bucket }}
{{- if not (regexMatch "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$" .) }}
- audit.bucket is {{ . | quote }}: a bucket's name has 3 to 63 lower-case letters, digits, dots and dashes
{{- end }}
{{- end }}
{{- include "assay.keyFaults" . }}
{{- if and $store.caSecret (hasPrefix "http://" $store.endpoint) }}
- store.caSecret is set and store.endpoint is http://: certificates count for https:// alone
{{- end }}
{{- include "assay.imageFaults" . }}
{{- range .Values.namespaces }}
{{- if not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" .) }}
- namespaces has {{ . | quote }}: that is no name of a namespace (lower-case letters, digits and dashes)
{{- end }}
{{- end }}
{{- if not (regexMatch "^[0-9.]+([KMGTPE]i?|k|m)?$" .Values.minio.storage) }}
- minio.storage is {{ .Values.minio.storage | quote }}: it must be a quantity such as 10Gi
{{- end }}
{{- end }}

{{- define "assay.keyFaults" -}}
{{- $store := .Values.store -}}
{{- $keys := or $store.accessKey $store.secretKey -}}
{{- if and $store.existingSecret $keys }}
- store.existingSecret and store.accessKey or store.secretKey are both set: leave out the keys, the Secret has them
{{- else if not (or $store.existingSecret $keys .Values.minio.enabled) }}
- store.existingSecret: name a Secret with the keys accessKey and secretKey, or set store.accessKey and store.secretKey
{{- else if and $keys (not (and $store.accessKey $store.secretKey)) }}
- store.{{ ternary "secretKey" "accessKey" (ne $store.accessKey "") }} is missing: set both, or name a Secret by store.existingSecret
{{- else if and .Values.minio.enabled $keys (or (lt (len $store.accessKey) 3) (lt (len $store.secretKey) 8)) }}
- store.accessKey or store.secretKey is too short for MinIO: at least 3 and 8 characters
{{- end }}
{{- if and (eq $store.credentialsMode "static") (not $store.existingSecret) }}
- store.credentialsMode is static: name a Secret by store.existingSecret that has runAccessKey and runSecretKey as well
{{- end }}
{{- end }}

{{- define "assay.imageFaults" -}}
{{- if regexMatch "(:[^/]*|@.*)$" .Values.image.repository }}
- image.repository is {{ .Values.image.repository | quote }}: what is behind the name goes into image.tag or image.digest
{{- end }}
{{- with .Values.image.digest }}
{{- if not (regexMatch "^sha256:[0-9a-f]{64}$" .) }}
- image.digest is {{ . | quote }}: it must be sha256: and 64 hexadecimal digits
{{- end }}
{{- end }}
{{- end }}
