{{- define "asya-operator.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: asya
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Reference of an image or package from [repository, tag, digest, default tag]; the digest beats the tag, which stays for people to read. */}}
{{- define "asya-operator.reference" -}}
{{- $tag := .image.tag | default .appVersion -}}
{{- printf "%s:%s" .image.repository $tag }}{{ with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "asya-operator.test-name" -}}
{{- printf "%s-operator-test" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Security context of a container under the restricted Pod Security profile. */}}
{{- define "asya-operator.security" -}}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Annotations of what exists during `helm test` only; the argument is the weight. */}}
{{- define "asya-operator.test-hook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* What tells the operator's Pods from all others; never changes between versions. */}}
{{- define "asya-operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Who makes the webhook's certificate: cert-manager, the user, or this chart. */}}
{{- define "asya-operator.certificate-maker" -}}
{{- if .Values.webhook.certManager.enabled -}}
cert-manager
{{- else if or .Values.webhook.secretName .Values.webhook.caBundle -}}
user
{{- else -}}
chart
{{- end -}}
{{- end -}}

{{/* Each maker has a Secret of its own: what one has made, another may not take over. */}}
{{- define "asya-operator.certificate-secret" -}}
{{- $maker := include "asya-operator.certificate-maker" . -}}
{{- if eq $maker "cert-manager" -}}
asya-operator-webhook
{{- else if eq $maker "chart" -}}
asya-operator-webhook-self-signed
{{- else -}}
{{ required "webhook.secretName is needed with webhook.caBundle" .Values.webhook.secretName }}
{{- end -}}
{{- end -}}

{{- define "asya-operator.host" -}}
asya-operator.{{ .Release.Namespace }}.svc
{{- end -}}
