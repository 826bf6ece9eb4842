{{- define "asya-crossplane.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: asya
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Reference of an image or package from [repository, tag, digest, default tag]; the digest beats the tag, which stays for people to read. */}}
{{- define "asya-crossplane.reference" -}}
{{- $tag := .image.tag | default .appVersion -}}
{{- printf "%s:%s" .image.repository $tag }}{{ with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "asya-crossplane.test-name" -}}
{{- printf "%s-crossplane-test" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Security context of a container under the restricted Pod Security profile. */}}
{{- define "asya-crossplane.security" -}}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Annotations of what exists during `helm test` only; the argument is the weight. */}}
{{- define "asya-crossplane.test-hook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
