//! The parsed scaling part of the spec.

use springtide_api::{
    autoscaling::{
        Autoscaling, DEFAULT_KEDA_MAX_REPLICAS, DEFAULT_MAX_REPLICAS, DEFAULT_MIN_REPLICAS, Engine,
        Keda,
    },
    targets::Targets,
};

use crate::spec::{
    Invalid, behavior::CompleteBehavior, memory_at_rest::MemoryAtRest, schedule::Schedules,
};

/// Upper bound of replicas in a spec.
const MAX_REPLICAS: i32 = 1000;

/// What is to set the replicas.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// `engine: None`.
    Fixed {
        /// Number of replicas.
        replicas: i32,
    },
    /// An autoscaler. Which one, and which targets it can follow, depends on the cluster ([`Scaling::resolve`]).
    Autoscaled(Box<PodAutoscaling>),
}

/// The parsed `spec.autoscaling`.
#[derive(Debug, Clone, PartialEq)]
pub struct PodAutoscaling {
    /// The requested autoscaler.
    pub(crate) engine: AutoscalerEngine,
    /// Minimum replicas while no schedule is active.
    pub min_replicas: i32,
    /// Maximum replicas.
    pub(crate) max_replicas: MaxReplicas,
    /// The targets to follow: at least one is set.
    pub targets: Targets,
    /// The scaling behavior.
    pub behavior: CompleteBehavior,
    /// Time windows with higher minimum replicas.
    pub schedules: Schedules,
    /// Settings of KEDA.
    pub keda: Keda,
    /// The inputs for the memory target.
    pub(crate) memory: MemoryAtRest,
}

/// Maximum replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxReplicas {
    /// The value in the spec.
    Explicit(i32),
    /// The default. A new autoscaler also keeps more replicas that it finds.
    Default(i32),
}

impl MaxReplicas {
    /// The effective maximum for the present `replicas` and the maximum of our present autoscaler, `current_max`. In
    /// its first sync an HPA removes replicas above its maximum, whatever the load. A user may request that, but a
    /// default, which depends on the engine, must not. So surplus replicas that a new autoscaler finds stay until the
    /// load falls, and no more are added.
    pub(crate) fn effective(self, replicas: Option<i32>, current_max: Option<i32>) -> i32 {
        match self {
            Self::Explicit(max_replicas) => max_replicas,
            Self::Default(max_replicas) => {
                let found = replicas.unwrap_or(max_replicas);
                max_replicas.max(current_max.map_or(found, |current_max| found.min(current_max)))
            }
        }
    }
}

/// The requested autoscaler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AutoscalerEngine {
    Auto,
    Hpa,
    Keda,
}

impl Scaling {
    /// Minimum replicas in the spec.
    pub(crate) fn min_replicas(&self) -> i32 {
        match self {
            Self::Fixed { replicas } => *replicas,
            Self::Autoscaled(pods) => pods.min_replicas,
        }
    }

    /// The field with the minimum replicas.
    pub(crate) const fn min_replicas_field(&self) -> &'static str {
        match self {
            Self::Fixed { .. } => "spec.replicas",
            Self::Autoscaled(_) => "spec.autoscaling.minReplicas",
        }
    }

    pub(crate) fn parse(
        autoscaling: &Autoscaling,
        replicas: Option<i32>,
        memory: MemoryAtRest,
    ) -> Result<Self, Invalid> {
        let engine = match (autoscaling.engine, replicas) {
            (Engine::None, None) => return Err(Invalid::ReplicasMissing),
            (Engine::None, Some(replicas)) => {
                return Ok(Self::Fixed { replicas });
            }
            (_, Some(_)) => return Err(Invalid::ReplicasWithEngine),
            (Engine::Auto, None) => AutoscalerEngine::Auto,
            (Engine::Hpa, None) => AutoscalerEngine::Hpa,
            (Engine::Keda, None) => AutoscalerEngine::Keda,
        };
        let pods = PodAutoscaling::parse(engine, autoscaling, memory)?;
        Ok(Self::Autoscaled(Box::new(pods)))
    }
}

impl PodAutoscaling {
    fn parse(
        engine: AutoscalerEngine,
        autoscaling: &Autoscaling,
        memory: MemoryAtRest,
    ) -> Result<Self, Invalid> {
        let has_keda = engine == AutoscalerEngine::Keda;
        let default_max_replicas = if has_keda {
            DEFAULT_KEDA_MAX_REPLICAS
        } else {
            DEFAULT_MAX_REPLICAS
        };
        let max_replicas = autoscaling.max_replicas.unwrap_or_else(|| {
            let scheduled = autoscaling.schedules.iter().map(|one| one.min_replicas);
            scheduled
                .chain(autoscaling.min_replicas)
                .fold(default_max_replicas, i32::max)
                .min(MAX_REPLICAS)
        });
        let min_replicas = autoscaling
            .min_replicas
            .unwrap_or(DEFAULT_MIN_REPLICAS.min(max_replicas));
        if min_replicas > max_replicas {
            return Err(Invalid::MinAboveMax);
        }
        Ok(Self {
            engine,
            min_replicas,
            max_replicas: autoscaling
                .max_replicas
                .map_or(MaxReplicas::Default(max_replicas), MaxReplicas::Explicit),
            targets: if autoscaling.targets == Targets::default() {
                Targets::defaults(has_keda)
            } else {
                autoscaling.targets
            },
            behavior: CompleteBehavior::parse(&autoscaling.behavior)?,
            schedules: Schedules::parse(&autoscaling.schedules, max_replicas)?,
            keda: autoscaling.keda.clone().unwrap_or_default(),
            memory,
        })
    }
}
