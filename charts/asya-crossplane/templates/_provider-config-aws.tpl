{{/* What the provider's configuration is; its kind comes with the provider, so a Job applies it. */}}
{{- define "asya-crossplane.provider-config-aws" -}}
{{- with .Values.providers.aws.config }}
apiVersion: aws.m.upbound.io/v1beta1
kind: ClusterProviderConfig
metadata:
  name: {{ .name }}
  labels: {{- include "asya-crossplane.labels" $ | nindent 4 }}
spec:
  credentials:
    source: {{ .source }}
    {{- if eq .source "Secret" }}
    secretRef:
      namespace: {{ required "providers.aws.config.secretRef.namespace is needed for the source Secret" .secretRef.namespace }}
      name: {{ required "providers.aws.config.secretRef.name is needed for the source Secret" .secretRef.name }}
      key: {{ required "providers.aws.config.secretRef.key is needed for the source Secret" .secretRef.key }}
    {{- end }}
    {{- if eq .source "WebIdentity" }}
    webIdentity:
      roleARN: {{ required "providers.aws.config.roleArn is needed for the source WebIdentity" .roleArn }}
    {{- end }}
  {{- with .endpoint }}
  endpoint:
    hostnameImmutable: true
    services: [sqs, iam, sts]
    url:
      type: Static
      static: {{ . }}
  skip_credentials_validation: true
  skip_metadata_api_check: true
  skip_requesting_account_id: true
  {{- end }}
{{- end }}
{{- end -}}
