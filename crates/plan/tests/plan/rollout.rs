//! How pods of a new spec replace the previous ones.

use k8s_openapi::{
    api::{apps::v1::RollingUpdateDeployment, core::v1::Event, core::v1::Pod},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde_json::{Value, json};
use springtide_plan::{Applied, Child, Invalid, Observed, ValidatedModelService, desired, status};

use crate::support::{
    applied, at, condition, message, model_service, requeue_at, settings, status_of, validated,
};

const QUOTA: &str = "pods \"iris-6d9c7d8f6c-x7kzb\" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=2, limited: pods=2";
const FULL: &str = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
const TOO_LARGE: &str = "0/2 nodes are available: 2 Insufficient memory. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
const OTHER_NODES: &str = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
const ONE_WRITER: &str = "0/1 nodes are available: 1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";

fn fixed(rollout: Value) -> ValidatedModelService {
    validated(json!({
        "replicas": 2, "autoscaling": {"engine": "None"}, "rollout": rollout,
    }))
}

/// A Deployment with this number of `pods`, `new` of which are new.
fn rolling(model_service: &ValidatedModelService, pods: i32, new: i32) -> Observed {
    let mut observed = applied(model_service, Observed::default());
    observed.at = at(0);
    let deployment = observed.deployment.as_mut().unwrap();
    deployment.metadata.generation = Some(2);
    deployment.spec.as_mut().unwrap().replicas = Some(2);
    let state = json!({"observedGeneration": 2, "replicas": pods, "updatedReplicas": new});
    deployment.status = Some(serde_json::from_value(state).unwrap());
    observed
}

fn pod(name: &str, status: Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"name": name}, "status": status})).unwrap()
}

/// A pod that the kubelet first saw at `at(-1000)`, and whose state changed `seconds` later.
fn on_a_node(name: &str, ready: &str, seconds: i64) -> Pod {
    let changed = at(-1000 + seconds).to_string();
    let conditions = json!([
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": ready, "lastTransitionTime": changed},
    ]);
    pod(
        name,
        json!({"startTime": at(-1000).to_string(), "conditions": conditions}),
    )
}

fn serving(name: &str) -> Pod {
    on_a_node(name, "True", 5)
}

/// A pod that has been unscheduled for `seconds`.
fn waiting(message: &str, seconds: i64) -> Pod {
    let conditions = json!([{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        "lastTransitionTime": at(-seconds).to_string(),
    }]);
    pod("new", json!({"phase": "Pending", "conditions": conditions}))
}

fn refused(mut observed: Observed, message: &str) -> Observed {
    let status = observed.deployment.as_mut().unwrap().status.as_mut();
    let failure = json!([{"type": "ReplicaFailure", "status": "True", "message": message}]);
    status.unwrap().conditions = Some(serde_json::from_value(failure).unwrap());
    observed
}

fn strategy(model_service: &ValidatedModelService, observed: &Observed) -> RollingUpdateDeployment {
    let plan = desired(model_service, observed, &settings());
    let deployment = plan.apply.into_iter().find_map(|child| match child {
        Child::Deployment(deployment) => deployment.spec,
        _ => None,
    });
    deployment
        .unwrap()
        .strategy
        .unwrap()
        .rolling_update
        .unwrap()
}

fn amounts(surge: &str, unavailable: &str) -> RollingUpdateDeployment {
    let amount = |text: &str| {
        Some(text.parse().map_or_else(
            |_percentage| IntOrString::String(text.to_owned()),
            IntOrString::Int,
        ))
    };
    RollingUpdateDeployment {
        max_surge: amount(surge),
        max_unavailable: amount(unavailable),
    }
}

fn multi_attach() -> Event {
    serde_json::from_value(json!({
        "metadata": {}, "involvedObject": {}, "reason": "FailedAttachVolume",
        "message": "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) iris-1",
    }))
    .unwrap()
}

#[test]
fn the_strategy_of_the_spec_is_applied() {
    for (rollout, surge, unavailable) in [
        (json!({}), "25%", "0"),
        (json!({"maxSurge": 3}), "3", "0"),
        (json!({"maxSurge": 0}), "0", "1"),
        (json!({"maxSurge": "0%"}), "0%", "1"),
        (json!({"maxUnavailable": "50%"}), "25%", "50%"),
        (json!({"maxSurge": 0, "maxUnavailable": 2}), "0", "2"),
        (
            json!({"maxSurge": "100%", "maxUnavailable": 0}),
            "100%",
            "0",
        ),
    ] {
        let model_service = fixed(rollout.clone());
        let expected = amounts(surge, unavailable);
        assert_eq!(
            strategy(&model_service, &Observed::default()),
            expected,
            "{rollout}"
        );
        // An explicit maxUnavailable is the user's decision, whatever blocks the rollout.
        if rollout.get("maxUnavailable").is_some() {
            let mut observed = refused(rolling(&model_service, 2, 0), QUOTA);
            assert_eq!(strategy(&model_service, &observed), expected, "{rollout}");
            observed.pods = vec![on_a_node("a", "False", 0)];
            assert_eq!(strategy(&model_service, &observed), expected, "{rollout}");
        }
    }
    let deadline = |rollout| {
        let observed = applied(&fixed(rollout), Observed::default());
        observed
            .deployment
            .unwrap()
            .spec
            .unwrap()
            .progress_deadline_seconds
    };
    assert_eq!(deadline(json!({})), Some(600));
    assert_eq!(
        deadline(json!({"progressDeadlineSeconds": 3600})),
        Some(3600)
    );
}

#[test]
fn rollouts_that_could_replace_nothing_or_say_nothing_are_refused() {
    let invalid = |rollout| {
        ValidatedModelService::try_from(&model_service(json!({"rollout": rollout}))).unwrap_err()
    };
    for both in [
        json!({"maxSurge": 0, "maxUnavailable": 0}),
        json!({"maxSurge": "0%", "maxUnavailable": 0}),
    ] {
        assert_eq!(invalid(both), Invalid::RolloutOfNothing);
    }
    for amount in [
        json!(-1),
        json!(1001),
        json!("101%"),
        json!("25"),
        json!("-1%"),
        json!("%"),
        json!("+1%"),
        json!("0025%"),
    ] {
        for field in ["maxSurge", "maxUnavailable"] {
            let error = invalid(json!({ (field): amount }));
            assert!(matches!(error, Invalid::PodAmount { .. }), "{amount}");
        }
    }
    let error = invalid(json!({"progressDeadlineSeconds": 5}));
    assert!(matches!(error, Invalid::OutOfBounds { .. }), "{error}");
}

#[test]
fn pods_that_never_served_make_room_at_once() {
    let model_service = fixed(json!({}));
    let everything = amounts("25%", "100%");
    let usual = amounts("25%", "0");
    let never = on_a_node("a", "False", 0);
    let mut observed = rolling(&model_service, 2, 0);
    observed.pods = vec![never.clone(), waiting(OTHER_NODES, 1000)];
    assert_eq!(strategy(&model_service, &observed), everything);
    // A pod that serves, or has served and may serve again, must be kept.
    for other in [serving("b"), on_a_node("b", "False", 60)] {
        observed.pods = vec![never.clone(), other];
        assert_eq!(strategy(&model_service, &observed), usual);
    }
    // So must pods that no watch has reported.
    observed.pods.clear();
    assert_eq!(strategy(&model_service, &observed), usual);
    // A first rollout has no previous pods.
    let mut first = rolling(&model_service, 2, 2);
    first.pods = vec![never];
    assert_eq!(strategy(&model_service, &first), usual);
}

#[test]
fn without_room_for_a_surge_pods_go_one_at_a_time_to_the_end() {
    let model_service = fixed(json!({}));
    let usual = amounts("25%", "0");
    let one = amounts("0", "1");
    let mut full = rolling(&model_service, 2, 0);
    full.pods = vec![serving("a"), serving("b")];
    assert_eq!(strategy(&model_service, &full), usual);

    let over_quota = refused(full.clone(), QUOTA);
    assert_eq!(strategy(&model_service, &over_quota), one);
    // A policy that rejects the new pods also rejects them with fewer previous pods.
    let unwanted = refused(
        full.clone(),
        "admission webhook \"policy\" denied the request",
    );
    assert_eq!(strategy(&model_service, &unwanted), usual);

    for (message, seconds, expected) in [
        (FULL, 59, &usual),
        (FULL, 60, &one),
        (ONE_WRITER, 0, &one),
        (TOO_LARGE, 1000, &usual),
        (OTHER_NODES, 1000, &usual),
    ] {
        let mut observed = full.clone();
        observed.pods.push(waiting(message, seconds));
        assert_eq!(
            strategy(&model_service, &observed),
            *expected,
            "{message} for {seconds} s"
        );
    }
    let mut attached = full.clone();
    attached.events = vec![multi_attach()];
    assert_eq!(strategy(&model_service, &attached), one);

    // The room of the first removed pod is no reason to try a surge again.
    let mut observed = over_quota;
    observed = applied(&model_service, observed);
    let deployment = observed.deployment.as_mut().unwrap();
    deployment.status =
        Some(serde_json::from_value(json!({"replicas": 2, "updatedReplicas": 1})).unwrap());
    assert_eq!(strategy(&model_service, &observed), one);
    let status = observed.deployment.as_mut().unwrap().status.as_mut();
    status.unwrap().updated_replicas = Some(2);
    assert_eq!(strategy(&model_service, &observed), usual);
}

#[test]
fn the_time_at_which_room_is_made_brings_a_pass_about() {
    let model_service = fixed(json!({}));
    let mut observed = rolling(&model_service, 2, 0);
    observed.pods = vec![serving("a"), serving("b"), waiting(FULL, 20)];
    let again = |observed: &Observed| {
        let status = status_of(&model_service, observed);
        requeue_at(&model_service, observed, &status, at(0))
    };
    assert_eq!(again(&observed), Some(at(40)));
    let mut scaled_up = rolling(&model_service, 2, 2);
    scaled_up.pods = observed.pods;
    assert_ne!(again(&scaled_up), Some(at(40)));
}

#[test]
fn the_condition_has_the_rollout_mode_and_the_remedy() {
    let judged = |rollout, message| {
        let model_service = fixed(rollout);
        let observed = refused(rolling(&model_service, 2, 0), message);
        let plan = desired(&model_service, &observed, &settings());
        status(&model_service, &Applied::new(observed), &plan, None, at(0))
    };
    let one = judged(json!({}), QUOTA);
    assert_eq!(
        condition(&one, "RolloutComplete"),
        ("False".to_owned(), "OnePodAtATime".to_owned())
    );
    let kept = judged(json!({"maxUnavailable": 0}), QUOTA);
    assert_eq!(
        condition(&kept, "RolloutComplete"),
        ("False".to_owned(), "RollingOut".to_owned())
    );
    assert!(
        message(&kept, "RolloutComplete").contains("spec.rollout.maxUnavailable"),
        "{kept:?}"
    );
}

/// One step of the Deployment controller
/// (<https://github.com/kubernetes/kubernetes/blob/v1.36.3/pkg/controller/deployment/rolling.go>), with pods that all
/// become ready or never do, and with a quota.
struct Controller {
    /// Previous pods that serve, and that don't.
    serving: i32,
    broken: i32,
    new: i32,
    wanted: i32,
    quota: i32,
}

impl Controller {
    fn observed(
        &self,
        model_service: &ValidatedModelService,
        before: Option<Observed>,
    ) -> Observed {
        let pods = self.serving + self.broken + self.new;
        let mut observed = before.unwrap_or_else(|| rolling(model_service, pods, self.new));
        let deployment = observed.deployment.as_mut().unwrap();
        let is_refused = pods >= self.quota && self.new < self.wanted;
        let conditions = is_refused
            .then(|| json!({"type": "ReplicaFailure", "status": "True", "message": QUOTA}));
        deployment.spec.as_mut().unwrap().replicas = Some(self.wanted);
        let status = json!({
            "observedGeneration": 2, "replicas": pods, "updatedReplicas": self.new,
            "availableReplicas": self.serving + self.new, "conditions": conditions.as_slice(),
        });
        deployment.status = Some(serde_json::from_value(status).unwrap());
        let good = (0..self.serving + self.new).map(|number| serving(&format!("s{number}")));
        let bad = (0..self.broken).map(|number| on_a_node(&format!("b{number}"), "False", 0));
        observed.pods = good.chain(bad).collect();
        observed
    }

    fn amount(&self, amount: Option<&IntOrString>, round: fn(f64) -> f64) -> i32 {
        match amount.unwrap() {
            IntOrString::Int(pods) => *pods,
            IntOrString::String(text) => {
                let percent: f64 = text.trim_end_matches('%').parse().unwrap();
                #[allow(clippy::cast_possible_truncation)]
                let pods = round(f64::from(self.wanted) * percent / 100.0) as i32;
                pods
            }
        }
    }

    fn step(&mut self, strategy: &RollingUpdateDeployment) {
        let surge = self.amount(strategy.max_surge.as_ref(), f64::ceil);
        let unavailable = self.amount(strategy.max_unavailable.as_ref(), f64::floor);
        let pods = |controller: &Self| controller.serving + controller.broken + controller.new;
        // New pods are created as far as the strategy and the quota allow.
        let room = (self.wanted + surge - pods(self)).min(self.quota - pods(self));
        self.new += room.min(self.wanted - self.new).max(0);
        // Previous pods are deleted, first those that don't serve.
        let excess = pods(self) - (self.wanted - unavailable);
        let broken = excess.clamp(0, self.broken);
        self.broken -= broken;
        let available = self.serving + self.new - (self.wanted - unavailable);
        self.serving -= available.clamp(0, self.serving);
    }
}

#[test]
fn a_rollout_completes_with_any_quota_and_costs_at_most_one_pod() {
    for wanted in 1..=8 {
        for quota in wanted..=wanted + 3 {
            for broken in 0..=wanted {
                let model_service = fixed(json!({}));
                let mut controller = Controller {
                    serving: wanted - broken,
                    broken,
                    new: 0,
                    wanted,
                    quota,
                };
                let least = (controller.serving - 1).max(0);
                let mut before = None;
                let mut steps = 0;
                while controller.new < wanted || controller.serving + controller.broken > 0 {
                    let observed = controller.observed(&model_service, before.take());
                    controller.step(&strategy(&model_service, &observed));
                    before = Some(applied(&model_service, observed));
                    let serve = controller.serving + controller.new;
                    assert!(serve >= least, "{serve} of {wanted} serve");
                    steps += 1;
                    assert!(steps < 50, "{wanted} pods, quota {quota}, {broken} broken");
                }
                let over = controller.observed(&model_service, before.take());
                assert_eq!(strategy(&model_service, &over), amounts("25%", "0"));
            }
        }
    }
}

#[test]
fn the_progress_deadline_covers_the_start_of_one_pod() {
    let claim = json!({"uri": "pvc://models/model.onnx"});
    let small = json!({"uri": "pvc://models/model.onnx", "maxSizeMebibytes": 1});
    let config_map = json!({"uri": "configMap://iris/model.onnx"});
    let large = json!({"uri": "pvc://models/model.onnx", "maxSizeMebibytes": 1_048_576});
    for (model, server, rollout, deadline) in [
        (&config_map, json!({}), json!({}), 600),
        (&small, json!({}), json!({}), 600),
        (&claim, json!({}), json!({}), 300 + 819 + 300),
        (
            &config_map,
            json!({"startupTimeoutSeconds": 1800}),
            json!({}),
            300 + 1800,
        ),
        (&large, json!({}), json!({}), 86_400),
        (
            &claim,
            json!({"startupTimeoutSeconds": 1800}),
            json!({"progressDeadlineSeconds": 60}),
            60,
        ),
    ] {
        let spec = json!({"model": model, "server": server, "rollout": rollout});
        let children = desired(&validated(spec.clone()), &Observed::default(), &settings()).apply;
        let found = children.into_iter().find_map(|child| match child {
            Child::Deployment(deployment) => deployment.spec,
            _ => None,
        });
        let found = found.unwrap();
        assert_eq!(found.progress_deadline_seconds, Some(deadline), "{spec}");
        let pod = found.template.spec.unwrap();
        let startup = pod.containers[0].startup_probe.clone().unwrap();
        let allowed = server["startupTimeoutSeconds"].as_i64().unwrap_or(300);
        assert_eq!(startup.failure_threshold.map(i64::from), Some(allowed));
        assert_eq!(startup.period_seconds, Some(1));
    }
    for seconds in [9, 86_401] {
        let spec = json!({"server": {"startupTimeoutSeconds": seconds}});
        let invalid = ValidatedModelService::try_from(&model_service(spec)).unwrap_err();
        assert!(
            invalid.to_string().contains("startupTimeoutSeconds"),
            "{invalid}"
        );
    }
}
