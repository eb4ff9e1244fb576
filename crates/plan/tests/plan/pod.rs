//! Which settings the spec passes to pods, and which it can't change.

use k8s_openapi::api::{apps::v1::Deployment, core::v1::PodSpec};
use serde_json::{Value, json};
use springtide_api::pod::{is_reserved_annotation, is_reserved_label, is_reserved_variable};
use springtide_plan::{
    ActiveAutoscaler, Capabilities, Child, Observed, Platform, Scaling, ValidatedModelService,
    desired,
};

use crate::support::{model_service, settings, validated, with_keda};

const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";

fn children(model_service: &ValidatedModelService, observed: &Observed) -> Vec<Value> {
    desired(model_service, observed, &settings())
        .apply
        .iter()
        .map(|child| serde_json::to_value(child).unwrap())
        .collect()
}

fn deployment(model_service: &ValidatedModelService, observed: &Observed) -> Deployment {
    let children = desired(model_service, observed, &settings()).apply;
    let found = children.into_iter().find_map(|child| match child {
        Child::Deployment(deployment) => Some(*deployment),
        _ => None,
    });
    found.unwrap()
}

fn pod(spec: Value) -> PodSpec {
    let deployment = deployment(&validated(spec), &Observed::default());
    deployment.spec.unwrap().template.spec.unwrap()
}

fn refusal(spec: Value) -> String {
    ValidatedModelService::try_from(&model_service(spec))
        .unwrap_err()
        .to_string()
}

#[test]
fn labels_are_on_everything_and_annotations_on_deployment_and_pods() {
    let model_service = validated(json!({
        "autoscaling": {"engine": "KEDA"},
        "pod": {"labels": {"team": "ml"}, "annotations": {"example.com/cost": "7"}},
    }));
    let children = children(&model_service, &with_keda());
    assert_eq!(children.len(), 4);
    for child in &children {
        assert_eq!(child["metadata"]["labels"]["team"], "ml", "{child}");
        assert_eq!(
            child["metadata"]["labels"]["app.kubernetes.io/instance"],
            "iris"
        );
        let annotation = &child["metadata"]["annotations"]["example.com/cost"];
        let is_deployment = child["kind"] == "Deployment";
        assert_eq!(annotation == "7", is_deployment, "{child}");
    }
    let template = &children
        .iter()
        .find(|child| child["kind"] == "Deployment")
        .unwrap()["spec"]["template"]["metadata"];
    assert_eq!(template["labels"]["team"], "ml");
    assert_eq!(template["annotations"]["example.com/cost"], "7");
    assert_eq!(template["annotations"]["prometheus.io/scrape"], "true");
}

#[test]
fn pods_inherit_the_users_own_labels_of_the_model_service() {
    let mut object = model_service(json!({"pod": {"labels": {"team": "ml"}}}));
    let own = [
        "team",
        "cost-center",
        "app",
        "helm.sh/chart",
        "pod-template-hash",
    ];
    object.metadata.labels = Some(
        own.into_iter()
            .map(|key| (key.to_owned(), "own".to_owned()))
            .collect(),
    );
    let model_service = ValidatedModelService::try_from(&object).unwrap();
    for child in children(&model_service, &Observed::default()) {
        let labels = &child["metadata"]["labels"];
        assert_eq!(labels["team"], "ml");
        assert_eq!(labels["cost-center"], "own");
        for absent in ["app", "helm.sh/chart", "pod-template-hash"] {
            assert!(labels.get(absent).is_none(), "{absent}");
        }
    }
}

/// No spec can set a name that the operator sets.
#[test]
fn names_that_the_operator_sets_are_reserved() {
    let deployment = deployment(&validated(json!({})), &Observed::default());
    let template = deployment.spec.unwrap().template;
    let metadata = template.metadata.unwrap();
    for label in metadata.labels.unwrap().keys() {
        assert!(is_reserved_label(label), "{label}");
    }
    for annotation in metadata.annotations.unwrap().keys() {
        let is_default = annotation == SAFE_TO_EVICT;
        assert!(
            is_reserved_annotation(annotation) || is_default,
            "{annotation}"
        );
    }
    let pod = template.spec.unwrap();
    let containers = pod
        .containers
        .iter()
        .chain(pod.init_containers.iter().flatten());
    for container in containers {
        for variable in container.env.iter().flatten() {
            assert!(is_reserved_variable(&variable.name), "{}", variable.name);
        }
        for mount in container.volume_mounts.iter().flatten() {
            assert!(springtide_api::pod::is_reserved_path(&mount.mount_path));
            assert!(springtide_api::pod::RESERVED_VOLUMES.contains(&mount.name.as_str()));
        }
    }
}

#[test]
fn values_that_an_older_crd_allowed_are_rejected() {
    let volumes = json!([{"name": "a", "configMap": {"name": "a"}}]);
    for (pod, expected) in [
        (
            json!({"labels": {"app.kubernetes.io/name": "x"}}),
            "spec.pod.labels must not contain app.kubernetes.io/name",
        ),
        (
            json!({"annotations": {"prometheus.io/port": "1"}}),
            "spec.pod.annotations must not contain prometheus.io/port",
        ),
        (
            json!({"env": [{"name": "SPRINGTIDE_PORT", "value": "1"}]}),
            "spec.pod.env must not contain SPRINGTIDE_PORT",
        ),
        (
            json!({"volumes": [{"name": "models", "configMap": {"name": "a"}}]}),
            "spec.pod.volumes must not contain models",
        ),
        (
            json!({"volumes": [{"name": "a", "hostPath": {"path": "/"}}]}),
            "spec.pod.volumes[] must have exactly one of",
        ),
        (
            json!({"volumes": [{"name": "a", "emptyDir": {}}]}),
            "spec.pod.volumes[].emptyDir.sizeLimit of a must",
        ),
        (
            json!({"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "17Ti"}}]}),
            "spec.pod.volumes[].emptyDir.sizeLimit of a must",
        ),
        (
            json!({"volumes": volumes, "volumeMounts": [{"name": "a", "mountPath": "/models/x"}]}),
            "spec.pod.volumeMounts must not contain /models/x",
        ),
        (
            json!({"volumeMounts": [{"name": "a", "mountPath": "/a"}]}),
            "spec.pod.volumeMounts[].name must be the name of a volume in spec.pod.volumes",
        ),
        (
            json!({"terminationGracePeriodSeconds": 16}),
            "spec.pod.terminationGracePeriodSeconds must be between 17 and 3600",
        ),
    ] {
        let refusal = refusal(json!({"pod": pod}));
        assert!(refusal.starts_with(expected), "{refusal}");
    }
}

#[test]
fn both_containers_have_the_variables_and_mounts() {
    let pod = pod(json!({"pod": {
        "env": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "envFrom": [{"configMapRef": {"name": "settings"}}],
        "volumes": [{"name": "certificates", "configMap": {"name": "certificates"}}],
        "volumeMounts": [{"name": "certificates", "mountPath": "/etc/ssl/certs", "readOnly": true}],
    }}));
    let containers = pod
        .containers
        .iter()
        .chain(pod.init_containers.iter().flatten());
    assert_eq!(containers.clone().count(), 2);
    for container in containers {
        let mut variables = container.env.iter().flatten();
        assert!(variables.any(|variable| variable.name == "HTTPS_PROXY"));
        assert_eq!(container.env_from.iter().flatten().count(), 1);
        let mut mounts = container.volume_mounts.iter().flatten();
        assert!(mounts.any(|mount| mount.mount_path == "/etc/ssl/certs"));
    }
}

#[test]
fn empty_volumes_count_as_room_on_the_disk_and_keep_no_node() {
    let model = json!({"uri": "configMap://iris/model.onnx", "maxSizeMebibytes": 512});
    let spec = |volumes: Value| json!({"model": model, "pod": {"volumes": volumes}});
    let memory = json!({"name": "b", "emptyDir": {"sizeLimit": "3Gi", "medium": "Memory"}});
    let disk = json!({"name": "a", "emptyDir": {"sizeLimit": "1025Mi"}});
    for (volumes, room, evictable) in [
        (json!([]), "2Gi", "models"),
        (json!([memory]), "2Gi", "models,b"),
        (json!([disk, memory]), "3073Mi", "models,a,b"),
    ] {
        let model_service = validated(spec(volumes));
        let template = deployment(&model_service, &Observed::default())
            .spec
            .unwrap()
            .template;
        let annotations = template.metadata.unwrap().annotations.unwrap();
        assert_eq!(annotations[SAFE_TO_EVICT], evictable);
        let server = template.spec.unwrap().containers.remove(0);
        let limits = server.resources.unwrap().limits.unwrap();
        assert_eq!(limits["ephemeral-storage"].0, room);
    }
    let own = json!({"pod": {"annotations": {SAFE_TO_EVICT: "none"}}});
    let deployment = deployment(&validated(own), &Observed::default());
    let metadata = deployment.spec.unwrap().template.metadata.unwrap();
    assert_eq!(metadata.annotations.unwrap()[SAFE_TO_EVICT], "none");
}

#[test]
fn spread_is_even_unless_the_spec_says_otherwise() {
    let spread = |pod_spec: Value| pod(json!({"pod": pod_spec})).topology_spread_constraints;
    assert_eq!(spread(json!({})).unwrap().len(), 2);
    assert_eq!(spread(json!({"topologySpreadConstraints": []})), None);
    let constraint = json!({
        "maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
    });
    let own = spread(json!({"topologySpreadConstraints": [constraint]})).unwrap();
    assert_eq!(own.len(), 1);
    let counted = own[0].label_selector.as_ref().unwrap();
    assert_eq!(
        counted.match_labels.as_ref().unwrap()["app.kubernetes.io/instance"],
        "iris"
    );
    assert_eq!(
        own[0].match_label_keys.as_deref(),
        Some(["pod-template-hash".to_owned()].as_slice())
    );
}

#[test]
fn pods_have_the_time_that_their_drain_takes_or_more() {
    let seconds = |spec: Value| pod(spec).termination_grace_period_seconds;
    assert_eq!(seconds(json!({})), Some(17));
    let slow = json!({"server": {"requestTimeoutMilliseconds": 60_001}});
    assert_eq!(seconds(slow), Some(73));
    let more = json!({"pod": {"terminationGracePeriodSeconds": 120}});
    assert_eq!(seconds(more), Some(120));
}

#[test]
fn on_openshift_the_platform_chooses_user_and_group() {
    let on = |platform: Platform, asked: Option<&str>| {
        let pod = asked.map_or(json!({}), |asked| json!({"securityContext": asked}));
        let observed = Observed {
            capabilities: Capabilities {
                platform,
                ..Capabilities::default()
            },
            ..Observed::default()
        };
        deployment(&validated(json!({"pod": pod})), &observed)
    };
    let security = |deployment: &Deployment| {
        let pod = deployment.spec.clone().unwrap().template.spec.unwrap();
        let context = pod.security_context.unwrap();
        assert_eq!(context.run_as_non_root, Some(true));
        assert_eq!(context.seccomp_profile.unwrap().type_, "RuntimeDefault");
        for container in pod
            .containers
            .iter()
            .chain(pod.init_containers.iter().flatten())
        {
            let security = container.security_context.as_ref().unwrap();
            assert_eq!(security.read_only_root_filesystem, Some(true));
            assert_eq!(security.allow_privilege_escalation, Some(false));
            let drop = security.capabilities.as_ref().unwrap().drop.clone();
            assert_eq!(drop, Some(vec!["ALL".to_owned()]));
        }
        [context.run_as_user, context.run_as_group, context.fs_group]
    };
    let ours = [Some(65_532); 3];
    for (platform, asked, expected) in [
        (Platform::Kubernetes, None, ours),
        (Platform::Unknown, None, ours),
        (Platform::OpenShift, None, [None; 3]),
        (Platform::OpenShift, Some("Default"), ours),
        (Platform::Kubernetes, Some("Platform"), [None; 3]),
    ] {
        assert_eq!(
            security(&on(platform, asked)),
            expected,
            "{platform:?} {asked:?}"
        );
    }
    // An operator that has just started causes no rollout.
    for platform in [Platform::Kubernetes, Platform::OpenShift] {
        let there = on(platform, None);
        let observed = Observed {
            deployment: Some(there.clone()),
            ..Observed::default()
        };
        let again = deployment(&validated(json!({})), &observed);
        assert_eq!(security(&again), security(&there));
    }
}

#[test]
fn the_server_alone_gets_devices_and_no_more_workers_than_cores() {
    let pod = pod(json!({"server": {"resources": {
        "requests": {"cpu": "6"},
        "limits": {"cpu": "Unlimited", "nvidia.com/mig-1g.10gb": 1},
    }}}));
    let limits = |container: &k8s_openapi::api::core::v1::Container| {
        container.resources.clone().unwrap().limits.unwrap()
    };
    let server = limits(&pod.containers[0]);
    assert_eq!(server["nvidia.com/mig-1g.10gb"].0, "1");
    assert!(!server.contains_key("cpu"));
    let fetch = limits(&pod.init_containers.unwrap()[0]);
    assert!(!fetch.contains_key("nvidia.com/mig-1g.10gb"));
    let mut variables = pod.containers[0].env.iter().flatten();
    let workers = variables.find(|variable| variable.name == "SPRINGTIDE_WORKERS");
    assert_eq!(workers.unwrap().value.as_deref(), Some("6"));
}

#[test]
fn keda_logs_in_to_prometheus_and_to_nothing_else() {
    let keda = json!({
        "authenticationRef": {"name": "prometheus", "kind": "ClusterTriggerAuthentication"},
        "authModes": ["bearer", "tls"],
    });
    let model_service = validated(json!({"autoscaling": {"engine": "KEDA", "keda": keda}}));
    let children = children(&model_service, &with_keda());
    let scaled_object = children
        .iter()
        .find(|child| child["kind"] == "ScaledObject")
        .unwrap();
    let triggers = scaled_object["spec"]["triggers"].as_array().unwrap();
    assert!(triggers.iter().any(|trigger| trigger["type"] == "cpu"));
    for trigger in triggers {
        let is_prometheus = trigger["type"] == "prometheus";
        let expected = json!({"name": "prometheus", "kind": "ClusterTriggerAuthentication"});
        assert_eq!(
            trigger.get("authenticationRef"),
            is_prometheus.then_some(&expected)
        );
        let modes = trigger["metadata"].get("authModes");
        assert_eq!(modes, is_prometheus.then_some(&json!("bearer,tls")));
    }
}

#[test]
fn unset_replicas_follow_those_that_are_set() {
    for (autoscaling, expected) in [
        (json!({}), (2, 20)),
        (json!({"maxReplicas": 1}), (1, 1)),
        (json!({"maxReplicas": 5}), (2, 5)),
        (json!({"minReplicas": 30}), (30, 30)),
        (json!({"engine": "KEDA", "minReplicas": 30}), (30, 50)),
        (
            json!({"schedules": [{
                "name": "day", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 40,
            }]}),
            (2, 40),
        ),
    ] {
        let model_service = validated(json!({"autoscaling": autoscaling}));
        let observed = with_keda();
        let Scaling::Autoscaled(pods) = model_service.scaling() else {
            panic!("fixed");
        };
        let active: ActiveAutoscaler<'_> = model_service.scaling().resolve(&observed);
        let most = active.max_replicas(&observed);
        assert_eq!((pods.min_replicas, most), expected, "{autoscaling}");
    }
}
