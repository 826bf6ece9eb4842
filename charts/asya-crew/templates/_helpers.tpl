{{- define "asya-crew.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: asya
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{/* Reference of an image or package from [repository, tag, digest, default tag]; the digest beats the tag, which stays for people to read. */}}
{{- define "asya-crew.reference" -}}
{{- $tag := .image.tag | default .appVersion -}}
{{- printf "%s:%s" .image.repository $tag }}{{ with .image.digest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "asya-crew.test-name" -}}
{{- printf "%s-crew-test" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* Security context of a container under the restricted Pod Security profile. */}}
{{- define "asya-crew.security" -}}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Annotations of what exists during `helm test` only; the argument is the weight. */}}
{{- define "asya-crew.test-hook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* One actor of the crew from [root, name, module, env, spec]: what the chart writes, then `spec`, then the actor's own. */}}
{{- define "asya-crew.actor" -}}
{{- $root := .root -}}
{{- $image := include "asya-crew.reference" (dict "image" $root.Values.image "appVersion" $root.Chart.AppVersion) -}}
{{- $spec := dict "image" $image "handler" (printf "asya.crew.%s.handle" .module) -}}
{{- with .env }}{{ $_ := set $spec "env" . }}{{ end -}}
{{- with $root.Values.checkpoint.secretName }}{{ $_ := set $spec "envFrom" (list (dict "secretRef" (dict "name" .))) }}{{ end -}}
{{- if hasPrefix "s3://" $root.Values.checkpoint.url }}
{{- $_ := set $spec "networkPolicy" (dict "egress" (list (dict "ports" (list (dict "port" 443 "protocol" "TCP"))))) }}
{{- end -}}
{{- $spec = mergeOverwrite $spec (deepCopy $root.Values.spec) (deepCopy .spec) -}}
{{- /* Never by metadata.name: a composite of a claim has another one. */}}
{{- $_ := set $spec "actor" .name -}}
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  # No more than these: an actor's labels are copied to all that is made for it, and a label with a version in it would replace its pods.
  labels:
    app.kubernetes.io/part-of: asya
    app.kubernetes.io/component: crew
    # Nobody else may be called x-sink or x-sump.
    asya.sh/crew: "true"
spec: {{- toYaml $spec | nindent 2 }}
{{- end -}}

{{/* Both actors, as a stream of documents, from [root, namespace]. */}}
{{- define "asya-crew.actors" -}}
{{- $values := .root.Values -}}
{{- $env := list -}}
{{- with $values.checkpoint.url }}{{ $env = append $env (dict "name" "ASYA_CHECKPOINT_URL" "value" .) }}{{ end -}}
{{- $sinkEnv := $env -}}
{{- with $values.hooks }}{{ $sinkEnv = append $env (dict "name" "ASYA_SINK_HOOKS" "value" (join "," .)) }}{{ end -}}
{{- include "asya-crew.actor" (dict "root" .root "namespace" .namespace "name" "x-sink" "module" "sink" "env" $sinkEnv "spec" $values.sink.spec) }}
---
{{ include "asya-crew.actor" (dict "root" .root "namespace" .namespace "name" "x-sump" "module" "sump" "env" $env "spec" $values.sump.spec) }}
{{- end -}}
