//! What is to set the number of pods, parsed.

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

/// Most pods that a spec may ask for.
const MAX_REPLICAS: i32 = 1000;

/// What is to set the number of pods.
#[derive(Debug, Clone, PartialEq)]
pub enum Scaling {
    /// `engine: None`.
    Fixed {
        /// Pods.
        replicas: i32,
    },
    /// An autoscaler: which one, and what it can follow, depends on the cluster ([`Scaling::resolve`]).
    Autoscaled(Box<PodAutoscaling>),
}

/// What an autoscaler is to do.
#[derive(Debug, Clone, PartialEq)]
pub struct PodAutoscaling {
    /// Which autoscaler.
    pub(crate) engine: AutoscalerEngine,
    /// Fewest pods while no schedule holds.
    pub min_replicas: i32,
    /// Most pods.
    pub(crate) max_replicas: MaxReplicas,
    /// What is to be followed: at least one is set.
    pub targets: Targets,
    /// How fast the number of pods changes.
    pub behavior: CompleteBehavior,
    /// Times at which there are more pods at least.
    pub schedules: Schedules,
    /// Settings of KEDA.
    pub keda: Keda,
    /// What the target of memory is judged by.
    pub(crate) memory: MemoryAtRest,
}

/// Most pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MaxReplicas {
    /// As the spec says.
    Explicit(i32),
    /// The spec doesn't say: so many, and those that a new autoscaler finds.
    Default(i32),
}

impl MaxReplicas {
    /// Most pods where so many are there, under an autoscaler of ours with the greatest number `current_max`,
    /// if there is one. An HPA takes what is above its maximum away in its first look, whatever the load:
    /// that is for the user to ask for, and not for a default, which hangs on the engine. So those that
    /// a new autoscaler finds stay until they go for want of load; more don't come.
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

/// Which autoscaler is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AutoscalerEngine {
    Auto,
    Hpa,
    Keda,
}

impl Scaling {
    /// Fewest pods that the spec asks for.
    pub(crate) fn min_replicas(&self) -> i32 {
        match self {
            Self::Fixed { replicas } => *replicas,
            Self::Autoscaled(pods) => pods.min_replicas,
        }
    }

    /// The field that says so.
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
