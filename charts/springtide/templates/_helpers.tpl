{{/* Name of the chart, as a label value. */}}
{{- define "springtide.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* Name of what the release makes: the release's own name where it says "springtide" already. */}}
{{- define "springtide.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- else if contains (include "springtide.name" .) .Release.Name }}
{{- .Release.Name | trunc 54 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "springtide.name" .) | trunc 54 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "springtide.operatorName" -}}
{{ include "springtide.fullname" . }}-operator
{{- end }}

{{/* Name of an object that belongs to no namespace, from its name within the release: releases of one name live in
several namespaces. A namespace has no dot, so that no two releases come to the same name. */}}
{{- define "springtide.clusterName" -}}
{{- if .root.Values.rbac.formerNames }}{{ .name }}{{ else }}{{ .name }}.{{ .root.Release.Namespace }}{{ end }}
{{- end }}

{{- define "springtide.selectorLabels" -}}
app.kubernetes.io/name: {{ include "springtide.name" . }}-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "springtide.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "springtide.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: springtide
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "springtide.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "springtide.operatorName" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* An image reference from {repository, tag, digest}: the digest decides where there is one, and the tag falls back to
the chart's appVersion. */}}
{{- define "springtide.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .chart.AppVersion .image.tag }}
{{- end }}
{{- end }}

{{/* Namespaces that are watched, as {"names": […]}; none: all. watchNamespace is read for one more release. */}}
{{- define "springtide.watchNamespaces" -}}
{{- dict "names" (concat .Values.watchNamespaces (without (list .Values.watchNamespace) "") | uniq) | toJson }}
{{- end }}

{{/* Who upgrades the ModelService definition, as {"here": whether this release, "owner": "NAMESPACE/NAME" of another one
or nothing}. Without a cluster to ask (helm template) it is this release. */}}
{{- define "springtide.definition" -}}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "modelservices.serving.springtide.dev" }}
{{- $annotations := dig "metadata" "annotations" dict ($found | default dict) }}
{{- $name := get $annotations "meta.helm.sh/release-name" }}
{{- $namespace := get $annotations "meta.helm.sh/release-namespace" }}
{{- $here := or (not $found) (and (eq $name .Release.Name) (eq $namespace .Release.Namespace)) }}
{{- dict "here" $here "owner" (ternary (printf "%s/%s" $namespace $name) "" (ne $name "")) | toJson }}
{{- end }}
