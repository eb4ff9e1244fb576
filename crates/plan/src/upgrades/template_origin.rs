//! The origin of a Deployment's pod template, in an annotation of the Deployment. From it, a new operator process knows
//! what its predecessor applied.

use std::{
    collections::hash_map::DefaultHasher,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use k8s_openapi::api::apps::v1::Deployment;

use crate::{
    observed::Observed, resources::pod_template, settings::OperatorSettings,
    spec::ValidatedModelService,
};

/// Annotation of a Deployment with the origin of its pod template.
pub const TEMPLATE_ANNOTATION: &str = "serving.springtide.dev/template";

/// The origin of a pod template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TemplateOrigin {
    /// The generation of the ModelService.
    pub(super) generation: i64,
    /// Fingerprint of the facts learned about the model.
    pub(super) learned_facts: u64,
    /// Fingerprint of the template without learned facts. If it differs for the same generation, another operator
    /// created the template.
    pub(super) operator: u64,
    /// The cause of the last change of the pods.
    pub(super) cause: ChangeCause,
}

/// The cause of a change of the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChangeCause {
    /// The spec, or facts learned about the model.
    Spec,
    /// The operator.
    Upgrade,
}

impl TemplateOrigin {
    /// The origin of the template that this operator creates.
    pub(super) fn current(
        model_service: &ValidatedModelService,
        observed: &Observed,
        settings: &OperatorSettings,
    ) -> Self {
        let template = pod_template(&model_service.without_learned_facts(), observed, settings);
        Self {
            generation: model_service.generation(),
            learned_facts: learned_facts(model_service),
            // Hashed as text, because the API types don't implement `Hash`. If another release serializes an equal
            // template differently, that is no upgrade: the templates are compared as well.
            operator: fingerprint(&serde_json::to_string(&template).unwrap_or_default()),
            cause: ChangeCause::Spec,
        }
    }

    /// The origin of a Deployment's template, if it has the annotation.
    pub(super) fn read(deployment: &Deployment) -> Option<Self> {
        let annotations = deployment.metadata.annotations.as_ref()?;
        annotations.get(TEMPLATE_ANNOTATION)?.parse().ok()
    }

    /// Whether both have the same spec and learned facts.
    pub(super) fn has_same_inputs(&self, other: &Self) -> bool {
        (self.generation, self.learned_facts) == (other.generation, other.learned_facts)
    }
}

fn learned_facts(model_service: &ValidatedModelService) -> u64 {
    let is_mismatched = model_service.sentinel_mismatch().is_some();
    match model_service.replacement() {
        None => fingerprint(&is_mismatched),
        Some(sha256) => fingerprint(&(is_mismatched, sha256.as_str())),
    }
}

fn fingerprint(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

impl fmt::Display for TemplateOrigin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            generation,
            learned_facts,
            operator,
            cause,
        } = self;
        let cause = match cause {
            ChangeCause::Spec => "spec",
            ChangeCause::Upgrade => "upgrade",
        };
        write!(
            formatter,
            "{generation}.{learned_facts:016x}.{operator:016x}.{cause}"
        )
    }
}

/// The annotation is invalid.
#[derive(Debug)]
pub(super) struct InvalidTemplateOrigin;

impl FromStr for TemplateOrigin {
    type Err = InvalidTemplateOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.splitn(4, '.');
        let mut part = || parts.next().ok_or(InvalidTemplateOrigin);
        let generation = part()?
            .parse()
            .map_err(|_not_a_number| InvalidTemplateOrigin)?;
        let mut number =
            || u64::from_str_radix(part()?, 16).map_err(|_not_a_number| InvalidTemplateOrigin);
        let (learned_facts, operator) = (number()?, number()?);
        let cause = match part()? {
            "spec" => ChangeCause::Spec,
            "upgrade" => ChangeCause::Upgrade,
            _ => return Err(InvalidTemplateOrigin),
        };
        Ok(Self {
            generation,
            learned_facts,
            operator,
            cause,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_annotations_are_parsed() {
        for cause in [ChangeCause::Spec, ChangeCause::Upgrade] {
            let made = TemplateOrigin {
                generation: 7,
                learned_facts: 0,
                operator: u64::MAX,
                cause,
            };
            assert_eq!(made.to_string().parse::<TemplateOrigin>().ok(), Some(made));
        }
        for text in [
            "",
            "7",
            "7.0.0",
            "7.0.0.other",
            "x.0.0.spec",
            "7.0.g.spec",
            "7.0.0.spec.",
        ] {
            assert!(text.parse::<TemplateOrigin>().is_err(), "{text}");
        }
    }
}
