//! What sets the number of pods, parsed.

use springtide_api::{
    autoscaling::{
        Autoscaling, DEFAULT_HPA_MAX_REPLICAS, DEFAULT_KEDA_MAX_REPLICAS, Engine, Keda, Targets,
    },
    behavior::Behavior,
};

use crate::validated::{Invalid, within};

/// What sets the number of pods.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// `engine: None`.
    Fixed {
        /// Pods.
        replicas: i32,
    },
    /// `engine: HPA`.
    Hpa {
        /// What it has in common with KEDA.
        pods: PodAutoscaling,
        /// Names of the targets that are set but that an HPA can't follow.
        ignored_targets: Vec<&'static str>,
    },
    /// `engine: KEDA`.
    Keda {
        /// What it has in common with an HPA.
        pods: PodAutoscaling,
        /// What serving itself reports.
        serving: ServingTargets,
        /// Settings of KEDA.
        settings: Keda,
    },
}

/// What both autoscalers do.
#[derive(Debug, Clone, PartialEq)]
pub struct PodAutoscaling {
    /// Fewest pods.
    pub min_replicas: i32,
    /// Most pods.
    pub max_replicas: i32,
    /// Mean CPU use, in percent of the request.
    pub cpu_utilization_percent: i32,
    /// Mean memory use, in percent of the request.
    pub memory_utilization_percent: i32,
    /// How fast the number of pods changes.
    pub behavior: Behavior,
}

/// Targets of signals that serving itself reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServingTargets {
    /// Requests per second and pod.
    pub requests_per_second: i32,
    /// Rows that wait per pod.
    pub queue_size: i32,
    /// 95th percentile of the latency, in milliseconds.
    pub p95_latency_milliseconds: i32,
}

impl Scaling {
    /// Fewest pods that the spec asks for.
    pub(crate) const fn least_pods(&self) -> i32 {
        match self {
            Self::Fixed { replicas } => *replicas,
            Self::Hpa { pods, .. } | Self::Keda { pods, .. } => pods.min_replicas,
        }
    }

    /// The field that says so.
    pub(crate) const fn least_pods_field(&self) -> &'static str {
        match self {
            Self::Fixed { .. } => "spec.replicas",
            Self::Hpa { .. } | Self::Keda { .. } => "spec.autoscaling.minReplicas",
        }
    }

    pub(crate) fn parse(autoscaling: &Autoscaling, replicas: Option<i32>) -> Result<Self, Invalid> {
        match autoscaling.engine {
            Engine::None => {
                let replicas = replicas.ok_or(Invalid::ReplicasMissing)?;
                within("spec.replicas", replicas, 0, 1000)?;
                Ok(Self::Fixed { replicas })
            }
            Engine::Hpa | Engine::Keda if replicas.is_some() => Err(Invalid::ReplicasWithEngine),
            Engine::Hpa => Ok(Self::Hpa {
                pods: PodAutoscaling::parse(autoscaling, DEFAULT_HPA_MAX_REPLICAS)?,
                ignored_targets: set_serving_targets(&autoscaling.targets),
            }),
            Engine::Keda => Ok(Self::Keda {
                pods: PodAutoscaling::parse(autoscaling, DEFAULT_KEDA_MAX_REPLICAS)?,
                serving: ServingTargets::parse(&autoscaling.targets)?,
                settings: autoscaling.keda.clone().unwrap_or_default(),
            }),
        }
    }
}

impl PodAutoscaling {
    fn parse(autoscaling: &Autoscaling, default_max_replicas: i32) -> Result<Self, Invalid> {
        let Autoscaling {
            min_replicas,
            max_replicas,
            targets,
            behavior,
            ..
        } = autoscaling;
        let pods = Self {
            min_replicas: *min_replicas,
            max_replicas: max_replicas.unwrap_or(default_max_replicas),
            cpu_utilization_percent: targets.cpu_utilization_percent,
            memory_utilization_percent: targets.memory_utilization_percent,
            behavior: behavior.clone(),
        };
        let targets = "spec.autoscaling.targets";
        within("spec.autoscaling.minReplicas", pods.min_replicas, 1, 1000)?;
        within("spec.autoscaling.maxReplicas", pods.max_replicas, 1, 1000)?;
        within(
            &format!("{targets}.cpuUtilizationPercent"),
            pods.cpu_utilization_percent,
            1,
            1000,
        )?;
        within(
            &format!("{targets}.memoryUtilizationPercent"),
            pods.memory_utilization_percent,
            1,
            1000,
        )?;
        if pods.min_replicas > pods.max_replicas {
            return Err(Invalid::MinAboveMax);
        }
        Ok(pods)
    }
}

impl ServingTargets {
    fn parse(targets: &Targets) -> Result<Self, Invalid> {
        let serving = Self {
            requests_per_second: targets
                .requests_per_second
                .unwrap_or(Targets::REQUESTS_PER_SECOND),
            queue_size: targets.queue_size.unwrap_or(Targets::QUEUE_SIZE),
            p95_latency_milliseconds: targets
                .p95_latency_milliseconds
                .unwrap_or(Targets::P95_LATENCY_MILLISECONDS),
        };
        let targets = "spec.autoscaling.targets";
        within(
            &format!("{targets}.requestsPerSecond"),
            serving.requests_per_second,
            1,
            1_000_000,
        )?;
        within(
            &format!("{targets}.queueSize"),
            serving.queue_size,
            1,
            1_000_000,
        )?;
        within(
            &format!("{targets}.p95LatencyMilliseconds"),
            serving.p95_latency_milliseconds,
            1,
            600_000,
        )?;
        Ok(serving)
    }
}

fn set_serving_targets(targets: &Targets) -> Vec<&'static str> {
    [
        ("requestsPerSecond", targets.requests_per_second),
        ("queueSize", targets.queue_size),
        ("p95LatencyMilliseconds", targets.p95_latency_milliseconds),
    ]
    .into_iter()
    .filter_map(|(name, target)| target.map(|_| name))
    .collect()
}
