{{/* What the provider's configuration is; its kind comes with the provider, so a Job applies it. */}}
{{- define "asya-crossplane.provider-config-gcp" -}}
{{- with .Values.providers.gcp.config }}
apiVersion: gcp.m.upbound.io/v1beta1
kind: ClusterProviderConfig
metadata:
  name: {{ .name }}
  labels: {{- include "asya-crossplane.labels" $ | nindent 4 }}
spec:
  projectID: {{ required "providers.gcp.config.projectID is needed" .projectID }}
  credentials:
    source: {{ .source }}
    {{- if eq .source "Secret" }}
    secretRef:
      namespace: {{ required "providers.gcp.config.secretRef.namespace is needed for the source Secret" .secretRef.namespace }}
      name: {{ required "providers.gcp.config.secretRef.name is needed for the source Secret" .secretRef.name }}
      key: {{ required "providers.gcp.config.secretRef.key is needed for the source Secret" .secretRef.key }}
    {{- end }}
{{- end }}
{{- end -}}
