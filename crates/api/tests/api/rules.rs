//! The CEL rules, judged here as an API server judges them. What the schema's bounds refuse needs an
//! API server: the end-to-end tests have a table of that.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use kube::core::cel::Validator;
use serde_json::{Value, json};
use springtide_api::ModelService;

use crate::{merge, minimal, minimal_with, schema};

/// Messages of the rules that the ModelService breaks, once defaults are filled in.
fn broken_rules(schema: &JSONSchemaProps, model_service: Value) -> Vec<String> {
    let model_service: ModelService = serde_json::from_value(model_service).unwrap();
    let schema = serde_json::to_value(schema).unwrap();
    let object = serde_json::to_value(model_service).unwrap();
    match Validator::new().validate(&schema, &object, None) {
        Ok(()) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.message).collect(),
    }
}

/// A schedule with `patch` merged into it.
fn schedule(patch: Value) -> Value {
    let mut schedule = json!({
        "name": "day", "start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "minReplicas": 4,
    });
    merge(&mut schedule, patch);
    json!({"spec": {"autoscaling": {"schedules": [schedule]}}})
}

fn model(uri: &str) -> Value {
    json!({"spec": {"model": {"uri": uri, "sha256": "0f".repeat(32)}}})
}

/// A model whose URI stands in a Secret, with `patch` merged into what names it.
fn secret(patch: Value) -> Value {
    let mut key = json!({"name": "presigned", "key": "iris.uri"});
    merge(&mut key, patch);
    json!({"spec": {"model": {
        "uri": null, "uriFrom": {"secretKeyRef": key}, "sha256": "0f".repeat(32),
    }}})
}

fn resources(change: &Value) -> Value {
    json!({"spec": {"server": {"resources": change}}})
}

fn pod(change: &Value) -> Value {
    json!({"spec": {"pod": change}})
}

fn volume(change: Value) -> Value {
    let mut volume = json!({"name": "a"});
    merge(&mut volume, change);
    pod(&json!({"volumes": [volume]}))
}

fn mounted_at(path: &str) -> Value {
    pod(&json!({
        "volumes": [{"name": "a", "configMap": {"name": "a"}}],
        "volumeMounts": [{"name": "a", "mountPath": path}],
    }))
}

/// What the message must begin with, and what is wrong with a pod.
fn bad_pods() -> Vec<(&'static str, Value)> {
    let mut bad = vec![
        (
            "spec.pod.serviceAccountName must",
            pod(&json!({"serviceAccountName": "Models"})),
        ),
        (
            "spec.pod.labels must have keys",
            pod(&json!({"labels": {"a b": "c"}})),
        ),
        (
            "spec.pod.annotations must have keys",
            pod(&json!({"annotations": {"/a": "c"}})),
        ),
        (
            "spec.pod.env[] must have value or",
            pod(&json!({"env": [{
                "name": "A", "value": "b",
                "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
            }]})),
        ),
        (
            "spec.pod.env[].valueFrom must",
            pod(&json!({"env": [{"name": "A", "valueFrom": {}}]})),
        ),
        (
            "spec.pod.envFrom[] must",
            pod(&json!({"envFrom": [{"prefix": "A_"}]})),
        ),
        (
            "spec.pod.terminationGracePeriodSeconds must",
            pod(&json!({"terminationGracePeriodSeconds": 16})),
        ),
        (
            "spec.pod.terminationGracePeriodSeconds must",
            json!({"spec": {
                "server": {"requestTimeoutMilliseconds": 5001},
                "pod": {"terminationGracePeriodSeconds": 17},
            }}),
        ),
        (
            "spec.pod.topologySpreadConstraints[].minDomains",
            pod(&json!({"topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway",
                "minDomains": 2,
            }]})),
        ),
        ("spec.pod.volumes[] must have exactly", volume(json!({}))),
        (
            "spec.pod.volumes[] must have exactly",
            volume(json!({"configMap": {"name": "a"}, "secret": {"secretName": "a"}})),
        ),
        (
            "spec.pod.volumes[].name must not",
            volume(json!({"name": "source", "configMap": {"name": "a"}})),
        ),
        (
            "spec.pod.volumes[].name must be",
            volume(json!({"name": "A", "configMap": {"name": "a"}})),
        ),
        (
            "spec.pod.volumeMounts[].name must",
            pod(&json!({"volumeMounts": [{"name": "a", "mountPath": "/a"}]})),
        ),
        (
            "spec.pod.volumeMounts[].subPath must",
            pod(&json!({
                "volumes": [{"name": "a", "configMap": {"name": "a"}}],
                "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "../b"}],
            })),
        ),
    ];
    for label in [
        "app.kubernetes.io/name",
        "app.kubernetes.io/instance",
        "app.kubernetes.io/managed-by",
        "pod-template-hash",
        "serving.springtide.dev/model",
        "scaledobject.keda.sh/name",
    ] {
        bad.push((
            "spec.pod.labels must not",
            pod(&json!({"labels": {label: "x"}})),
        ));
    }
    for annotation in [
        "prometheus.io/port",
        "kubectl.kubernetes.io/restartedAt",
        "deployment.kubernetes.io/revision",
        "container.apparmor.security.beta.kubernetes.io/server",
    ] {
        bad.push((
            "spec.pod.annotations must not",
            pod(&json!({"annotations": {annotation: "x"}})),
        ));
    }
    for variable in [
        "SPRINGTIDE_PORT",
        "MAX_BATCH_SIZE",
        "MODEL_DIR",
        "ORT_DYLIB_PATH",
        "LD_PRELOAD",
    ] {
        let env = json!({"env": [{"name": variable, "value": "x"}]});
        bad.push(("spec.pod.env[].name must not", pod(&env)));
    }
    for path in [
        "/",
        "/models",
        "/models/a",
        "/source",
        "/etc",
        "/usr/lib",
        "/dev/shm",
    ] {
        bad.push((
            "spec.pod.volumeMounts[].mountPath must not",
            mounted_at(path),
        ));
    }
    for path in ["tmp", "/a/../models", "/a/", "/a:b"] {
        bad.push((
            "spec.pod.volumeMounts[].mountPath must be",
            mounted_at(path),
        ));
    }
    bad
}

/// Fields that no type has, as an API server sees them.
#[test]
fn what_gives_rights_over_a_node_and_what_has_another_name_now_is_refused() {
    let schema = serde_json::to_value(schema()).unwrap();
    let with_host_path = json!({"configMap": {"name": "a"}, "hostPath": {}});
    let refused = [
        (
            "spec.pod.hostNetwork isn't allowed",
            pod(&json!({"hostNetwork": true})),
        ),
        (
            "spec.pod.hostPID isn't allowed",
            pod(&json!({"hostPID": true})),
        ),
        (
            "spec.pod.hostIPC isn't allowed",
            pod(&json!({"hostIPC": true})),
        ),
        (
            "spec.pod.privileged isn't allowed",
            pod(&json!({"privileged": true})),
        ),
        (
            "spec.pod.capabilities isn't allowed",
            pod(&json!({"capabilities": {}})),
        ),
        (
            "spec.pod.containers isn't allowed",
            pod(&json!({"containers": []})),
        ),
        (
            "spec.pod.initContainers isn't allowed",
            pod(&json!({"initContainers": []})),
        ),
        (
            "spec.pod.nodeName isn't allowed",
            pod(&json!({"nodeName": "a"})),
        ),
        (
            "spec.pod.automountServiceAccountToken isn't allowed",
            pod(&json!({"automountServiceAccountToken": true})),
        ),
        (
            "spec.pod.volumes[].hostPath isn't allowed",
            volume(with_host_path),
        ),
        (
            "spec.server.securityContext isn't allowed",
            json!({"spec": {"server": {"securityContext": {}}}}),
        ),
        (
            "spec.server.nodeSelector is now spec.pod.nodeSelector",
            json!({"spec": {"server": {"nodeSelector": {}}}}),
        ),
        (
            "spec.server.serviceAccountName is now spec.pod.serviceAccountName",
            json!({"spec": {"server": {"serviceAccountName": "models"}}}),
        ),
    ];
    for (message, patch) in refused {
        let parsed: ModelService = serde_json::from_value(minimal()).unwrap();
        let mut object = serde_json::to_value(parsed).unwrap();
        assert!(Validator::new().validate(&schema, &object, None).is_ok());
        merge(&mut object, patch);
        let broken = Validator::new()
            .validate(&schema, &object, None)
            .unwrap_err();
        let broken: Vec<String> = broken.into_iter().map(|error| error.message).collect();
        assert!(
            broken.iter().any(|broken| broken.starts_with(message)),
            "{message}: {broken:?}"
        );
    }
}

fn prometheus(address: &str) -> Value {
    json!({"spec": {"autoscaling": {"engine": "KEDA", "keda": {"prometheusAddress": address}}}})
}

#[test]
fn good_specs_break_no_rule() {
    let schema = schema();
    let good = [
        minimal(),
        minimal_with(json!({"spec": {"rollout": {"maxSurge": 0}}})),
        minimal_with(json!({"spec": {"rollout": {"maxSurge": "0%", "maxUnavailable": "50%"}}})),
        minimal_with(json!({"spec": {"rollout": {"maxSurge": "25%", "maxUnavailable": 0}}})),
        minimal_with(json!({"metadata": {"name": "a".repeat(54)}})),
        minimal_with(model("configMap://iris/_model-1.onnx")),
        minimal_with(model("pvc://models/a..b/v1/m.onnx")),
        minimal_with(model("https://example.com:8443/iris.onnx")),
        minimal_with(secret(json!({}))),
        minimal_with(model("http://[::1]:8080/iris.onnx")),
        // Every printable character that a URL doesn't have to escape, and some that it should.
        minimal_with(model("https://h/!$%&'()*+,-./09:;=@AZ[\\]^_az|~")),
        minimal_with(prometheus("http://prometheus:9090")),
        minimal_with(prometheus("https://mimir.example.com/prometheus/")),
        minimal_with(prometheus("http://[::1]:9090/select/0/prometheus")),
        minimal_with(json!({"spec": {"replicas": 0, "autoscaling": {"engine": "None"}}})),
        minimal_with(json!({"spec": {"autoscaling": {"minReplicas": 300}}})),
        minimal_with(json!({"spec": {"autoscaling": {"maxReplicas": 1}}})),
        minimal_with(json!({"spec": {"autoscaling": {"engine": "KEDA", "minReplicas": 51}}})),
        minimal_with(json!({"spec": {"autoscaling": {"minReplicas": 30, "maxReplicas": 30}}})),
        minimal_with(json!({"spec": {"autoscaling": {"engine": "KEDA", "keda": {
            "prometheusAddress": "http://prometheus:9090",
        }}}})),
        minimal_with(json!({"spec": {"autoscaling": {"engine": "Auto", "keda": {}}}})),
        minimal_with(schedule(json!({}))),
        minimal_with(schedule(
            json!({"timezone": "America/Argentina/ComodRivadavia"}),
        )),
        minimal_with(schedule(
            json!({"timezone": "Etc/GMT+12", "start": "*/5 0-6,22 ? JAN MON"}),
        )),
        minimal_with(schedule(json!({"minReplicas": 300}))),
        minimal_with(json!({"spec": {"server": {"resources": {
            "requests": {"cpu": 2, "memory": "2048Mi"}, "limits": {"cpu": "2000m", "memory": "2Gi"},
        }}}})),
        minimal_with(resources(&json!({"limits": {"memory": "256Mi"}}))),
        minimal_with(resources(&json!({"requests": {"cpu": 8}}))),
        minimal_with(resources(
            &json!({"requests": {"cpu": 8}, "limits": {"cpu": "Unlimited"}}),
        )),
        minimal_with(resources(&json!({"limits": {"cpu": null}}))),
        minimal_with(resources(&json!({
            "requests": {"nvidia.com/mig-1g.10gb": "1", "amd.com/gpu": 2},
            "limits": {"nvidia.com/mig-1g.10gb": 1, "gpu.intel.com/i915": "1k"},
        }))),
        minimal_with(json!({"spec": {"autoscaling": {"engine": "KEDA", "keda": {
            "authenticationRef": {"kind": "ClusterTriggerAuthentication", "name": "prometheus"},
            "authModes": ["bearer", "tls"],
        }}}})),
        minimal_with(json!({"spec": {"pod": {
            "labels": {"team": "ml", "example.com/cost-center": "", "app.kubernetes.io/version": "1"},
            "annotations": {"sidecar.istio.io/inject": "false"},
            "env": [
                {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            ],
            "envFrom": [{"secretRef": {"name": "a"}}, {"prefix": "A_", "configMapRef": {"name": "b"}}],
            "serviceAccountName": "models",
            "priorityClassName": "high",
            "terminationGracePeriodSeconds": 17,
            "securityContext": "Platform",
            "topologySpreadConstraints": [{
                "maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
                "minDomains": 2,
            }],
            "volumes": [
                {"name": "a", "configMap": {"name": "a"}},
                {"name": "b", "secret": {"secretName": "b", "defaultMode": 0o440}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "c"}},
                {"name": "d", "emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}},
                {"name": "e", "csi": {"driver": "secrets-store.csi.k8s.io"}},
                {"name": "f", "image": {"reference": "example.com/tokenizers:1"}},
            ],
            "volumeMounts": [
                {"name": "a", "mountPath": "/etc/ssl/certs", "readOnly": true},
                {"name": "d", "mountPath": "/tmp", "subPath": "a/b..c"},
            ],
        }}})),
    ];
    for model_service in good {
        let text = model_service.to_string();
        assert_eq!(
            broken_rules(&schema, model_service),
            Vec::<String>::new(),
            "{text}"
        );
    }
}

#[test]
fn bad_specs_are_refused_with_the_field_that_is_wrong() {
    let schema = schema();
    let rollout = |rollout: Value| json!({"spec": {"rollout": rollout}});
    let bad = [
        (
            "spec.rollout.maxSurge and spec.rollout.maxUnavailable must not both be 0",
            rollout(json!({"maxSurge": 0, "maxUnavailable": 0})),
        ),
        (
            "spec.rollout.maxSurge and spec.rollout.maxUnavailable must not both be 0",
            rollout(json!({"maxSurge": "0%", "maxUnavailable": 0})),
        ),
        (
            "metadata.name must have",
            json!({"metadata": {"name": "a".repeat(55)}}),
        ),
        (
            "metadata.name must be a DNS-1035",
            json!({"metadata": {"name": "1-iris"}}),
        ),
        (
            "metadata.name must be a DNS-1035",
            json!({"metadata": {"name": "iris.v1"}}),
        ),
        (
            "metadata.name must be a DNS-1035",
            json!({"metadata": {"name": "iris-"}}),
        ),
        ("spec.model.uri must begin", model("s3://bucket/iris.onnx")),
        ("spec.model.uri must begin", model("iris.onnx")),
        (
            "spec.model.uri must be configMap://",
            model("configMap://iris"),
        ),
        (
            "spec.model.uri must be configMap://",
            model("configMap://iris/.."),
        ),
        ("spec.model.uri must be pvc://", model("pvc://models")),
        (
            "spec.model.uri must be pvc://",
            model("pvc://models/../etc/passwd"),
        ),
        ("spec.model.uri must be pvc://", model("pvc://models/a/..")),
        ("spec.model.uri must be pvc://", model("pvc://models//a")),
        (
            "spec.model.uri must be https://",
            model("https://user:password@example.com/iris.onnx"),
        ),
        (
            "spec.model.uri must be https://",
            model("https:///iris.onnx"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/<version>/iris.onnx"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/`iris`.onnx"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/iris.onnx?X-Amz-Signature=0f"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/iris.onnx?"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/{version}"),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/\"iris\""),
        ),
        (
            "spec.model.uri must be https://",
            model("https://example.com/iris.onnx#1"),
        ),
        (
            "spec.model.sha256 is required",
            json!({"spec": {"model": {"uri": "https://example.com/x"}}}),
        ),
        (
            "spec.model.sha256 is required",
            json!({"spec": {"model": {
                "uri": null, "uriFrom": {"secretKeyRef": {"name": "presigned", "key": "uri"}},
            }}}),
        ),
        (
            "spec.model must have exactly one",
            json!({"spec": {"model": {"uri": null}}}),
        ),
        (
            "spec.model must have exactly one",
            json!({"spec": {"model": {
                "uriFrom": {"secretKeyRef": {"name": "presigned", "key": "uri"}},
                "sha256": "0f".repeat(32),
            }}}),
        ),
        (
            "spec.model.uriFrom.secretKeyRef.name must",
            secret(json!({"name": "Presigned"})),
        ),
        (
            "spec.model.uriFrom.secretKeyRef.key must",
            secret(json!({"key": "../uri"})),
        ),
        (
            "spec.model.sha256 must be",
            json!({"spec": {"model": {"sha256": "0F".repeat(32)}}}),
        ),
        (
            "spec.model.sha256 must be",
            json!({"spec": {"model": {"sha256": "0f"}}}),
        ),
        (
            "spec.model.name must",
            json!({"spec": {"model": {"name": "-iris"}}}),
        ),
        (
            "spec.replicas is only allowed",
            json!({"spec": {"replicas": 3}}),
        ),
        (
            "spec.replicas is only allowed",
            json!({"spec": {"replicas": 3, "autoscaling": {"engine": "KEDA"}}}),
        ),
        (
            "spec.replicas is required",
            json!({"spec": {"autoscaling": {"engine": "None"}}}),
        ),
        (
            "spec.autoscaling.minReplicas must",
            json!({"spec": {"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}}),
        ),
        (
            "spec.autoscaling.keda is only allowed",
            json!({"spec": {"autoscaling": {"engine": "HPA", "keda": {}}}}),
        ),
        (
            "spec.autoscaling.schedules is not allowed",
            json!({"spec": {"replicas": 2, "autoscaling": {"engine": "None", "schedules": [{
                "name": "day", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 4,
            }]}}}),
        ),
        (
            "spec.autoscaling.schedules[].minReplicas must",
            json!({"spec": {"autoscaling": {"maxReplicas": 3, "schedules": [{
                "name": "day", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 4,
            }]}}}),
        ),
        (
            "spec.autoscaling.keda.authModes needs",
            json!({"spec": {"autoscaling": {"engine": "KEDA", "keda": {"authModes": ["basic"]}}}}),
        ),
        (
            "spec.autoscaling.schedules[].start and end must",
            schedule(json!({"end": "0 8 * * 1-5"})),
        ),
        (
            "spec.autoscaling.schedules[].name must",
            schedule(json!({"name": "-day"})),
        ),
        (
            "spec.autoscaling.schedules[].start must",
            schedule(json!({"start": "0 8 * * 1-5 2026"})),
        ),
        (
            "spec.autoscaling.schedules[].start must",
            schedule(json!({"start": "@daily at 8"})),
        ),
        (
            "spec.autoscaling.schedules[].end must",
            schedule(json!({"end": "0 18 * *  *"})),
        ),
        (
            "spec.autoscaling.schedules[].timezone must",
            schedule(json!({"timezone": "../etc/passwd"})),
        ),
        (
            "spec.autoscaling.keda.prometheusAddress must",
            json!({"spec": {"autoscaling": {"engine": "KEDA", "keda": {
                "prometheusAddress": "prometheus:9090",
            }}}}),
        ),
        (
            "spec.server.batching.maxWaitMilliseconds must",
            json!({"spec": {"server": {"requestTimeoutMilliseconds": 50}}}),
        ),
        (
            "spec.server.batching.maxBatchRows must",
            json!({"spec": {"server": {"maxQueueRows": 31}}}),
        ),
        (
            "spec.server.image must",
            json!({"spec": {"server": {"image": "a b"}}}),
        ),
        (
            "spec.server.resources.requests.cpu must",
            resources(&json!({"requests": {"cpu": "2001m"}, "limits": {"cpu": 2}})),
        ),
        (
            "spec.server.resources.requests.memory must",
            resources(&json!({"requests": {"memory": "501Mi"}, "limits": {"memory": "500Mi"}})),
        ),
        (
            "spec.server.resources.requests must be equal",
            resources(&json!({
                "requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2},
            })),
        ),
        (
            "spec.server.resources.limits may have",
            resources(&json!({"limits": {"ephemeral-storage": "1Gi"}})),
        ),
        (
            "spec.server.resources.limits may have",
            resources(&json!({"limits": {"requests.kubernetes.io/x": 1}})),
        ),
        (
            "spec.server.resources.requests may have",
            resources(&json!({"requests": {"gpu": 1}})),
        ),
        (
            "spec.server.resources.limits may be Unlimited",
            resources(&json!({"limits": {"memory": "Unlimited"}})),
        ),
        (
            "spec.server.resources.limits may be Unlimited",
            resources(&json!({"limits": {"nvidia.com/gpu": null}})),
        ),
        (
            "spec.server.resources.limits must be whole",
            resources(&json!({"limits": {"nvidia.com/gpu": "500m"}})),
        ),
    ];
    let bad = bad.into_iter().chain(bad_pods());
    let addresses = [
        "http://prometheus:9090/?query=1",
        "http://prometheus:9090/#",
        "http://prometheus:9090/%2e%2e",
        "http://user@prometheus:9090",
        "http://prometheus:9090/a/../b",
        "http://prometheus:9090/..",
        "http://prometheus:9090//",
        "http://prometheus:9090\\",
        "http://prometheus:9090/\u{7f}",
        "http://prometheus:9090\n",
        "http://",
        "file:///etc/passwd",
        "HTTP://prometheus:9090",
    ];
    let addresses = addresses.map(|address| {
        (
            "spec.autoscaling.keda.prometheusAddress must",
            prometheus(address),
        )
    });
    for (message, patch) in bad.chain(addresses) {
        let broken = broken_rules(&schema, minimal_with(patch.clone()));
        assert_eq!(broken.len(), 1, "{patch}: {broken:?}");
        assert!(broken[0].starts_with(message), "{patch}: {broken:?}");
    }
}
