//! The API server rejects invalid specs with a message that names the field.

use std::fmt::Write;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use springtide_e2e::example;
use springtide_e2e::testbed::{Company, Failure, in_namespace};

/// A name of the fault, the change to `examples/iris.yaml` that causes it, and a part of the error message.
type Bad = (&'static str, Value, &'static [&'static str]);

/// A name of this length.
fn name_of(length: usize) -> String {
    "n".repeat(length)
}

fn spec(change: &Value) -> Value {
    json!({"spec": change})
}

fn autoscaling(change: &Value) -> Value {
    spec(&json!({"autoscaling": change}))
}

fn targets(change: &Value) -> Value {
    autoscaling(&json!({"targets": change}))
}

fn model(change: &Value) -> Value {
    spec(&json!({"model": change}))
}

fn server(change: &Value) -> Value {
    spec(&json!({"server": change}))
}

fn bad_models() -> Vec<Bad> {
    vec![
        ("no model", spec(&json!({"model": null})), &["spec.model"]),
        (
            "no uri",
            model(&json!({"uri": null})),
            &["spec.model", "one of uri"],
        ),
        (
            "unknown scheme",
            model(&json!({"uri": "s3://bucket/iris.onnx"})),
            &["spec.model.uri", "configMap://"],
        ),
        (
            "ConfigMap without key",
            model(&json!({"uri": "configMap://iris-model"})),
            &["spec.model.uri", "configMap://NAME/KEY"],
        ),
        (
            "path out of the claim",
            model(&json!({"uri": "pvc://models/../iris.onnx"})),
            &["spec.model.uri", "pvc://CLAIM/PATH"],
        ),
        (
            "password in the URL",
            model(&json!({"uri": "https://me:secret@example.com/iris.onnx"})),
            &["spec.model.uri"],
        ),
        (
            "signature in the URL",
            model(&json!({"uri": "https://example.com/iris.onnx?X-Amz-Signature=0f"})),
            &["spec.model.uri", "spec.model.uriFrom"],
        ),
        (
            "uri and uriFrom",
            model(&json!({"uriFrom": {"secretKeyRef": {"name": "iris", "key": "uri"}}})),
            &["spec.model", "exactly one"],
        ),
        (
            "uriFrom without sha256",
            model(&json!({
                "uri": null, "sha256": null,
                "uriFrom": {"secretKeyRef": {"name": "iris", "key": "uri"}},
            })),
            &["spec.model.sha256", "required"],
        ),
        (
            "path instead of a key",
            model(&json!({
                "uri": null, "uriFrom": {"secretKeyRef": {"name": "iris", "key": "../uri"}},
            })),
            &["spec.model.uriFrom.secretKeyRef.key"],
        ),
        (
            "http without sha256",
            model(&json!({"uri": "http://example.com/iris.onnx", "sha256": null})),
            &["spec.model.sha256", "required"],
        ),
        (
            "https without sha256",
            model(&json!({"uri": "https://example.com/iris.onnx", "sha256": null})),
            &["spec.model.sha256", "required"],
        ),
        (
            "short sha256",
            model(&json!({"sha256": "abc123"})),
            &["spec.model.sha256"],
        ),
        (
            "sha256 in capitals",
            model(&json!({"sha256": "A".repeat(64)})),
            &["spec.model.sha256", "lower-case"],
        ),
        (
            "blank in the model's name",
            model(&json!({"name": "my iris"})),
            &["spec.model.name"],
        ),
    ]
}

fn bad_autoscaling() -> Vec<Bad> {
    vec![
        (
            "minReplicas > maxReplicas",
            autoscaling(&json!({"minReplicas": 5, "maxReplicas": 4})),
            &["spec.autoscaling.minReplicas"],
        ),
        (
            "minReplicas 0",
            autoscaling(&json!({"minReplicas": 0})),
            &["spec.autoscaling.minReplicas"],
        ),
        (
            "maxReplicas 0",
            autoscaling(&json!({"maxReplicas": 0})),
            &["spec.autoscaling.maxReplicas"],
        ),
        (
            "unknown engine",
            autoscaling(&json!({"engine": "hpa"})),
            &["spec.autoscaling.engine", "HPA"],
        ),
        (
            "CPU target 0",
            targets(&json!({"cpuUtilizationPercent": 0})),
            &["spec.autoscaling.targets.cpuUtilizationPercent"],
        ),
        (
            "memory target 0",
            targets(&json!({"memoryUtilizationPercent": 0})),
            &["spec.autoscaling.targets.memoryUtilizationPercent"],
        ),
        (
            "request target 0",
            targets(&json!({"requestsPerSecond": 0})),
            &["spec.autoscaling.targets.requestsPerSecond"],
        ),
        (
            "queue target 0",
            targets(&json!({"queueSize": 0})),
            &["spec.autoscaling.targets.queueSize"],
        ),
        (
            "latency target 0",
            targets(&json!({"p95LatencyMilliseconds": 0})),
            &["spec.autoscaling.targets.p95LatencyMilliseconds"],
        ),
        (
            "replicas and an engine",
            spec(&json!({"replicas": 3})),
            &["spec.replicas", "None"],
        ),
        (
            "replicas and the default engine",
            spec(&json!({"replicas": 3, "autoscaling": null})),
            &["spec.replicas", "None"],
        ),
        (
            "neither replicas nor an engine",
            autoscaling(&json!({"engine": "None"})),
            &["spec.replicas", "required"],
        ),
        (
            "rollout of nothing",
            spec(&json!({"rollout": {"maxSurge": "0%", "maxUnavailable": 0}})),
            &["spec.rollout", "must not both be 0"],
        ),
        (
            "surge of no number",
            spec(&json!({"rollout": {"maxSurge": "25"}})),
            &["spec.rollout.maxSurge"],
        ),
        (
            "surge below 0",
            spec(&json!({"rollout": {"maxSurge": -1}})),
            &["spec.rollout.maxSurge"],
        ),
        (
            "more pods missing than there are",
            spec(&json!({"rollout": {"maxUnavailable": "101%"}})),
            &["spec.rollout.maxUnavailable"],
        ),
        (
            "deadline before a pod counts as available",
            spec(&json!({"rollout": {"progressDeadlineSeconds": 5}})),
            &["spec.rollout.progressDeadlineSeconds"],
        ),
        (
            "settings of KEDA without it",
            autoscaling(&json!({"keda": {}})),
            &["spec.autoscaling.keda", "KEDA"],
        ),
        (
            "polling never",
            autoscaling(&json!({"engine": "KEDA", "keda": {"pollingIntervalSeconds": 0}})),
            &["spec.autoscaling.keda.pollingIntervalSeconds"],
        ),
        (
            "window longer than an hour",
            autoscaling(&json!({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3601}}})),
            &["spec.autoscaling.behavior.scaleDown.stabilizationWindowSeconds"],
        ),
        (
            "policy without a period",
            autoscaling(
                &json!({"behavior": {"scaleUp": {"policies": [{"type": "Pods", "value": 1}]}}}),
            ),
            &["spec.autoscaling.behavior.scaleUp.policies[0].periodSeconds"],
        ),
        (
            "unknown field",
            autoscaling(&json!({"minReplica": 3})),
            &["spec.autoscaling.minReplica"],
        ),
    ]
}

fn bad_servers() -> Vec<Bad> {
    vec![
        (
            "negative wait",
            server(&json!({"batching": {"maxWaitMilliseconds": -1}})),
            &["spec.server.batching.maxWaitMilliseconds"],
        ),
        (
            "empty batches",
            server(&json!({"batching": {"maxBatchRows": 0}})),
            &["spec.server.batching.maxBatchRows"],
        ),
        (
            "unknown mode",
            server(&json!({"batching": {"mode": "Sometimes"}})),
            &["spec.server.batching.mode"],
        ),
        (
            "unknown policy",
            server(&json!({"batching": {"policy": "Eager"}})),
            &["spec.server.batching.policy"],
        ),
        (
            "wait longer than the timeout",
            server(&json!({"batching": {"maxWaitMilliseconds": 5000}})),
            &[
                "spec.server.batching.maxWaitMilliseconds",
                "requestTimeoutMilliseconds",
            ],
        ),
        (
            "batch larger than the queue",
            server(&json!({"maxQueueRows": 31})),
            &["spec.server.batching.maxBatchRows", "maxQueueRows"],
        ),
        (
            "no queue",
            server(&json!({"maxQueueRows": 0})),
            &["spec.server.maxQueueRows"],
        ),
        (
            "a negative objective",
            server(&json!({"latencyObjectiveMilliseconds": -1})),
            &["spec.server.latencyObjectiveMilliseconds"],
        ),
        (
            "no time",
            server(&json!({"requestTimeoutMilliseconds": 0})),
            &["spec.server.requestTimeoutMilliseconds"],
        ),
        (
            "no workers",
            server(&json!({"workers": 0})),
            &["spec.server.workers"],
        ),
        (
            "unknown provider",
            server(&json!({"executionProvider": "TPU"})),
            &["spec.server.executionProvider"],
        ),
        (
            "request above limit",
            server(&json!({"resources": {"requests": {"cpu": "3"}, "limits": {"cpu": 2}}})),
            &[
                "spec.server.resources.requests.cpu",
                "spec.server.resources.limits.cpu",
            ],
        ),
        (
            "not a quantity",
            server(&json!({"resources": {"limits": {"memory": "much"}}})),
            &["spec.server.resources.limits.memory"],
        ),
    ]
}

/// A ModelService whose pods have this volume.
fn volume(source: &Value) -> Value {
    let mut volume = json!({"name": "a"});
    for (kind, source) in source.as_object().into_iter().flatten() {
        volume[kind.as_str()] = source.clone();
    }
    pod(&json!({"volumes": [volume]}))
}

fn pod(change: &Value) -> Value {
    spec(&json!({"pod": change}))
}

fn bad_pods() -> Vec<Bad> {
    vec![
        (
            "the node's network",
            pod(&json!({"hostNetwork": true})),
            &["spec.pod.hostNetwork isn't allowed"],
        ),
        (
            "the node's processes",
            pod(&json!({"hostPID": true})),
            &["spec.pod.hostPID isn't allowed"],
        ),
        (
            "the node's shared memory",
            pod(&json!({"hostIPC": true})),
            &["spec.pod.hostIPC isn't allowed"],
        ),
        (
            "a folder of the node",
            volume(&json!({"hostPath": {"path": "/"}})),
            &["spec.pod.volumes[].hostPath isn't allowed"],
        ),
        (
            "a folder of the node beside a ConfigMap",
            volume(&json!({"configMap": {"name": "a"}, "hostPath": {"path": "/"}})),
            &["spec.pod.volumes[].hostPath isn't allowed"],
        ),
        (
            "a volume of another kind",
            volume(&json!({"iscsi": {"lun": 0}})),
            &["spec.pod.volumes", "iscsi"],
        ),
        (
            "a volume of no kind",
            volume(&json!({})),
            &["spec.pod.volumes[] must have exactly one of"],
        ),
        (
            "privilege",
            pod(&json!({"privileged": true})),
            &["spec.pod.privileged isn't allowed"],
        ),
        (
            "capabilities",
            pod(&json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
            &["spec.pod.capabilities isn't allowed"],
        ),
        (
            "another user of the pod",
            pod(&json!({"securityContext": {"runAsUser": 0}})),
            &["spec.pod.securityContext", "string"],
        ),
        (
            "another user of the server",
            server(&json!({"securityContext": {"runAsUser": 0}})),
            &["spec.server.securityContext isn't allowed"],
        ),
        (
            "a container",
            pod(&json!({"initContainers": [{"name": "a", "image": "a"}]})),
            &["spec.pod.initContainers isn't allowed"],
        ),
        (
            "the selector's label",
            pod(&json!({"labels": {"app.kubernetes.io/instance": "x"}})),
            &["spec.pod.labels must not have"],
        ),
        (
            "the server's own variable",
            pod(&json!({"env": [{"name": "SPRINGTIDE_PORT", "value": "1"}]})),
            &["spec.pod.env[].name must not be"],
        ),
        (
            "a mount over the model",
            pod(&json!({
                "volumes": [{"name": "a", "configMap": {"name": "a"}}],
                "volumeMounts": [{"name": "a", "mountPath": "/models"}],
            })),
            &["spec.pod.volumeMounts[].mountPath must not cover"],
        ),
        (
            "an empty volume without a size",
            volume(&json!({"emptyDir": {}})),
            &["sizeLimit"],
        ),
        (
            "less time than a drain takes",
            pod(&json!({"terminationGracePeriodSeconds": 16})),
            &["spec.pod.terminationGracePeriodSeconds must be at least"],
        ),
        (
            "a former name",
            server(&json!({"nodeSelector": {"disk": "ssd"}})),
            &["spec.server.nodeSelector is now spec.pod.nodeSelector"],
        ),
        (
            "room on the disk",
            server(&json!({"resources": {"limits": {"ephemeral-storage": "1Gi"}}})),
            &["spec.server.resources.limits may have"],
        ),
        (
            "no limit of memory",
            server(&json!({"resources": {"limits": {"memory": "Unlimited"}}})),
            &["spec.server.resources.limits may be Unlimited for cpu only"],
        ),
        (
            "less than nothing",
            server(&json!({"resources": {"requests": {"cpu": -1}}})),
            &["spec.server.resources.requests.cpu"],
        ),
        (
            "a way to log in without a login",
            autoscaling(&json!({"engine": "KEDA", "keda": {"authModes": ["bearer"]}})),
            &["spec.autoscaling.keda.authModes needs"],
        ),
    ]
}

fn bad_names() -> Vec<Bad> {
    vec![
        (
            "name that makes a child's too long",
            json!({"metadata": {"name": name_of(55)}}),
            &["metadata.name", "54"],
        ),
        (
            "name with a dot",
            json!({"metadata": {"name": "iris.v1"}}),
            &["metadata.name", "DNS-1035"],
        ),
        (
            "name that begins with a digit",
            json!({"metadata": {"name": "1iris"}}),
            &["metadata.name", "DNS-1035"],
        ),
    ]
}

#[tokio::test]
async fn bad_specs_are_refused_with_the_name_of_the_field() -> Result<(), Failure> {
    in_namespace("refused", Company::Welcome, async |testbed| {
        let bad = [
            bad_models(),
            bad_autoscaling(),
            bad_servers(),
            bad_pods(),
            bad_names(),
        ];
        let bad: Vec<Bad> = bad.into_iter().flatten().collect();
        let mut wrong = String::new();
        for (what, change, words) in &bad {
            match testbed
                .cluster
                .apply_dry(&testbed.namespace, &example::manifest("iris", change)?)
                .await
            {
                Ok(_) => writeln!(wrong, "  {what}: accepted")?,
                Err(error) => {
                    let message = error.to_string();
                    let unsaid: Vec<_> = words
                        .iter()
                        .filter(|word| !message.contains(**word))
                        .collect();
                    if !unsaid.is_empty() {
                        writeln!(
                            wrong,
                            "  {what}: refused without a word of {unsaid:?}: {message}"
                        )?;
                    }
                }
            }
        }
        ensure!(wrong.is_empty(), "of {} bad specs:\n{wrong}", bad.len());
        testbed.report(&format!(
            "{} bad specs refused with the name of the field",
            bad.len()
        ));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn specs_at_the_edge_are_accepted() -> Result<(), Failure> {
    in_namespace("accepted", Company::Welcome, async |testbed| {
        let good = [
            (
                "the longest name",
                json!({"metadata": {"name": name_of(54)}}),
            ),
            ("the shortest name", json!({"metadata": {"name": "i"}})),
            (
                "as few as many",
                autoscaling(&json!({"minReplicas": 4, "maxReplicas": 4})),
            ),
            (
                "more than the default maximum",
                autoscaling(&json!({"minReplicas": 200})),
            ),
            (
                "the default maximum of KEDA",
                autoscaling(&json!({"engine": "KEDA", "minReplicas": 50})),
            ),
            (
                "no pods",
                spec(&json!({"replicas": 0, "autoscaling": {"engine": "None"}})),
            ),
            (
                "everything by default",
                spec(&json!({"server": null, "autoscaling": null})),
            ),
            ("ConfigMap without sha256", model(&json!({"sha256": null}))),
            (
                "URL with port",
                model(&json!({"uri": "http://models.example.com:8080/iris.onnx"})),
            ),
            (
                "URL with an IPv6 address",
                model(&json!({"uri": "https://[2001:db8::1]/iris.onnx"})),
            ),
            (
                "deep path in a claim",
                model(&json!({"uri": "pvc://models/a/b..c/iris.onnx"})),
            ),
            (
                "no wait",
                server(&json!({"batching": {"maxWaitMilliseconds": 0}})),
            ),
            (
                "no objective",
                server(&json!({"latencyObjectiveMilliseconds": 0})),
            ),
            (
                "one row",
                server(&json!({"batching": {"maxBatchRows": 1}, "maxQueueRows": 1})),
            ),
            (
                "no shared batches",
                server(&json!({"batching": {"mode": "Never"}})),
            ),
            (
                "one pod at most",
                autoscaling(&json!({"maxReplicas": 1})),
            ),
            (
                "a limit below the default request, devices, and no limit of CPU",
                server(&json!({"resources": {"limits": {
                    "cpu": "Unlimited", "memory": "256Mi", "nvidia.com/mig-1g.10gb": 1,
                    "amd.com/gpu": "2",
                }}})),
            ),
            (
                "volumes of every kind",
                pod(&json!({
                    "volumes": [
                        {"name": "a", "configMap": {"name": "a", "items": [{"key": "a", "path": "b/c"}]}},
                        {"name": "b", "secret": {"secretName": "b", "optional": true}},
                        {"name": "c", "persistentVolumeClaim": {"claimName": "c", "readOnly": true}},
                        {"name": "d", "emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}},
                        {"name": "e", "csi": {"driver": "secrets-store.csi.k8s.io"}},
                        {"name": "f", "image": {"reference": "example.com/tokenizers:1"}},
                    ],
                    "volumeMounts": [{"name": "d", "mountPath": "/tmp"}],
                })),
            ),
            (
                "numbers as quantities",
                server(&json!({"resources": {"requests": {"cpu": 1}, "limits": {"cpu": 1}}})),
            ),
            (
                "no shrinking",
                autoscaling(&json!({"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}})),
            ),
            (
                "signals that an HPA can't see",
                targets(&json!({"requestsPerSecond": 1, "queueSize": 1})),
            ),
        ];
        let mut wrong = String::new();
        for (what, change) in &good {
            if let Err(error) = testbed
                .cluster
                .apply_dry(&testbed.namespace, &example::manifest("iris", change)?)
                .await
            {
                writeln!(wrong, "  {what}: {error:#}")?;
            }
        }
        for example in [
            "iris",
            "digits",
            "http-model",
            "presigned-model",
            "pvc-model",
            "fixed-replicas",
            "all-fields",
        ] {
            if let Err(error) = testbed
                .cluster
                .apply_dry(&testbed.namespace, &example::manifest(example, &json!({}))?)
                .await
            {
                writeln!(wrong, "  examples/{example}.yaml: {error:#}")?;
            }
        }
        ensure!(wrong.is_empty(), "refused:\n{wrong}");
        testbed.report(&format!(
            "{} specs at the edge and all examples accepted",
            good.len()
        ));
        Ok(())
    })
    .await
}
