{{- define "assay.labels" -}}
app.kubernetes.io/name: assay
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "assay.selector" -}}
{{ include "assay.selectorOf" (dict "root" . "component" "operator") }}
{{- end }}

{{- define "assay.selectorOf" -}}
app.kubernetes.io/name: assay
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
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
{{ .Values.store.endpoint }}
{{- end -}}
{{- end }}

{{- /* Adapts a plain manifest to this release: its namespace, its bucket and the users of the cluster's controllers. */ -}}
{{- define "assay.localised" -}}
{{- $text := .text -}}
{{- $text = $text | replace "system:serviceaccount:assay-system:assay-operator" (printf "system:serviceaccount:%s:assay-operator" .root.Release.Namespace) -}}
{{- $text = $text | replace "operator-namespace: assay-system" (printf "operator-namespace: %s" .root.Release.Namespace) -}}
{{- $text = $text | replace "namespace: assay-system" (printf "namespace: %s" .root.Release.Namespace) -}}
{{- range .root.Values.policies.controllers -}}
{{- $text = $text | replace "'system:kube-controller-manager'" (printf "'system:kube-controller-manager', '%s'" .) -}}
{{- end -}}
{{- $text = $text | replace "system:serviceaccount:kube-system:job-controller" .root.Values.policies.jobController -}}
{{- $text | replace "s3://assay/" (printf "s3://%s/" .root.Values.store.bucket) -}}
{{- end }}

{{- /* Turns a ClusterRole or its binding into a Role of one namespace, under a name of its own. */ -}}
{{- define "assay.servedRole" -}}
{{- $object := deepCopy .object -}}
{{- $_ := set $object "kind" ($object.kind | trimPrefix "Cluster") -}}
{{- $_ := set $object "metadata" (dict "name" (printf "%s-served" $object.metadata.name) "namespace" .namespace) -}}
{{- with $object.roleRef -}}
{{- $_ := set . "kind" "Role" -}}
{{- $_ := set . "name" (printf "%s-served" .name) -}}
{{- end -}}
{{- range $object.subjects -}}
{{- $_ := set . "namespace" $.root.Release.Namespace -}}
{{- end -}}
{{- toYaml $object -}}
{{- end }}

{{- /* Whether metrics require authentication, which needs a cluster-wide right (TokenReview). */ -}}
{{- define "assay.metricsAuthentication" -}}
{{- and .Values.metrics.authentication (not .Values.namespaces) -}}
{{- end }}

{{- /* Every admission policy that suits the API server, as one text. */ -}}
{{- define "assay.policies" }}
{{- $mutates := or (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy") (semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version) }}
{{- $left := list }}
{{- if not $mutates }}{{ $left = append $left "stamps.yaml" }}{{ end }}
{{- if eq .Values.runs.podSecurity "off" }}{{ $left = append $left "pod-security.yaml" }}{{ end }}
{{- range $path, $_ := .Files.Glob "policies/*.yaml" }}
{{- if not (has (base $path) $left) }}
---
{{ include "assay.localised" (dict "root" $ "text" ($.Files.Get $path)) }}
{{- end }}
{{- end }}
{{- if eq .Values.runs.podSecurity "restricted" }}
---
{{ .Files.Get "policies/optional/pod-security-restricted.yaml" }}
{{- end }}
{{- end }}

{{- /* How to reach the store, for everything that runs the operator's code. */ -}}
{{- define "assay.storeEnv" -}}
- {name: ASSAY_STORE_ENDPOINT, value: {{ include "assay.endpoint" . | quote }}}
{{- with .Values.store.runEndpoint }}
- {name: ASSAY_STORE_RUN_ENDPOINT, value: {{ . | quote }}}
{{- end }}
- {name: ASSAY_STORE_BUCKET, value: {{ .Values.store.bucket | quote }}}
- {name: ASSAY_STORE_REGION, value: {{ .Values.store.region | quote }}}
- {name: ASSAY_STORE_CREDENTIALS_MODE, value: {{ .Values.store.credentialsMode | quote }}}
- {name: ASSAY_STORE_STS_SECONDS, value: {{ .Values.store.stsSeconds | int | quote }}}
- name: ASSAY_STORE_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ include "assay.storeSecret" . }}, key: accessKey}}
- name: ASSAY_STORE_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ include "assay.storeSecret" . }}, key: secretKey}}
{{- if eq .Values.store.credentialsMode "static" }}
- name: ASSAY_STORE_RUN_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ include "assay.storeSecret" . }}, key: runAccessKey}}
- name: ASSAY_STORE_RUN_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ include "assay.storeSecret" . }}, key: runSecretKey}}
{{- end }}
{{- if .Values.store.caSecret }}
- {name: ASSAY_STORE_CA_FILE, value: /etc/assay/store-ca/ca.crt}
{{- end }}
{{- end }}

{{- /* In a NetworkPolicy: names, and the port of the store. */ -}}
{{- define "assay.egressToStore" -}}
# Names.
- ports:
  - {port: 53, protocol: UDP}
  - {port: 53, protocol: TCP}
# The store.
- ports:
  - {port: {{ include "assay.portOf" (include "assay.endpoint" .) }}, protocol: TCP}
{{- end }}

{{- /* The port of an address such as https://store.example.com. */ -}}
{{- define "assay.portOf" -}}
{{- $url := urlParse . -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end }}

{{- /* Requirements of the pod security standard `restricted`. */ -}}
{{- define "assay.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "assay.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
