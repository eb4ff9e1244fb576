//! Claims: which of several operators manages a ModelService.
//!
//! `spec.operatorClass` names the class of its operator. Of the operators of one class that watch its namespace, one
//! acts. Each operator holds a lease as its claim: in its own namespace if it watches all, otherwise in each watched
//! namespace. A claim on a namespace precedes one on all namespaces, and an older claim precedes a newer one. See
//! `docs/adr/0028-one-operator-per-modelservice.md`.

mod hold;

use std::{
    collections::HashMap,
    fmt,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

pub use self::hold::hold;

use crate::leader::Observed;

/// Class of operators if neither the spec nor the operator's settings name one.
pub const DEFAULT_CLASS: &str = "springtide";

/// Maximum length of a class, so that the names of leases have at most 63 characters.
const MAX_CLASS_LENGTH: usize = 40;

/// Maximum time for which a start waits for the claims of other operators.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Name of a class of operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorClass(String);

/// Why a string is not an [`OperatorClass`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an operator class has at most {MAX_CLASS_LENGTH} lower-case letters, digits and '-', beginning and ending with a letter or digit"
)]
pub struct InvalidOperatorClass;

impl FromStr for OperatorClass {
    type Err = InvalidOperatorClass;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = name.as_bytes();
        let is_valid = bytes.len() <= MAX_CLASS_LENGTH
            && is_end(bytes.first())
            && is_end(bytes.last())
            && bytes
                .iter()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if is_valid {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidOperatorClass)
        }
    }
}

impl fmt::Display for OperatorClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The operator that manages the ModelServices of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ManagingOperator {
    /// This operator.
    This,
    /// Another one, with its name.
    Other(String),
}

/// The claim of an operator, as its lease was last seen.
#[derive(Debug, Clone)]
struct Claim {
    /// Whether it is on all namespaces, not only on the one of its lease.
    is_cluster_wide: bool,
    /// Creation time of its lease.
    created: Option<Timestamp>,
    lease: Observed,
}

impl Claim {
    fn is_valid(&self, now: Instant) -> bool {
        let record = &self.lease.record;
        !record.holder.is_empty() && now.duration_since(self.lease.since) < record.duration
    }
}

/// The known claims. Clones share them.
#[derive(Debug, Clone)]
pub struct Claims(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    class: OperatorClass,
    /// Name of this operator in its claims.
    identity: String,
    known: RwLock<KnownClaims>,
    /// Whether enough claims are known to act.
    complete: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct KnownClaims {
    /// Claims by the namespace and the name of their leases.
    claims: HashMap<(String, String), Claim>,
    /// Lists and leases that have not been read yet.
    outstanding: usize,
}

impl Claims {
    /// Starts without the claims of other operators. `identity` is the name of this operator, the same for all its
    /// replicas.
    #[must_use]
    pub fn new(class: OperatorClass, identity: String) -> Self {
        Self(Arc::new(Shared {
            class,
            identity,
            known: RwLock::default(),
            complete: watch::Sender::new(false),
        }))
    }

    /// The class of this operator.
    pub(crate) fn class(&self) -> &OperatorClass {
        &self.0.class
    }

    /// Name of this operator in its claims.
    pub(crate) fn identity(&self) -> &str {
        &self.0.identity
    }

    /// Whether a ModelService of a class is for the class of this operator.
    pub(crate) fn is_own_class(&self, class: Option<&str>) -> bool {
        class.unwrap_or(DEFAULT_CLASS) == self.0.class.0
    }

    /// The operator that manages the ModelServices of a namespace.
    pub(crate) fn managing_operator(&self, namespace: &str, now: Instant) -> ManagingOperator {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner);
        managing_operator(&known.claims, &self.0.identity, namespace, now)
    }

    /// Waits until the claims of other operators are known, up to a maximum time.
    pub async fn wait_until_known(&self) {
        let mut complete = self.0.complete.subscribe();
        // After the maximum time this operator acts without them.
        let _ = timeout(MAX_WAIT, complete.wait_for(|complete| *complete)).await;
    }

    fn change<T>(&self, change: impl FnOnce(&mut KnownClaims) -> T) -> T {
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut known);
        self.0.complete.send_replace(known.outstanding == 0);
        result
    }
}

/// A claim on the namespace precedes claims on all namespaces. Among the latter the oldest counts, because the
/// creation time of a lease can't be changed. Without any claim, this operator acts.
fn managing_operator(
    claims: &HashMap<(String, String), Claim>,
    identity: &str,
    namespace: &str,
    now: Instant,
) -> ManagingOperator {
    let valid = || {
        claims
            .iter()
            .filter(|(_, claim)| claim.is_valid(now))
            .map(|((namespace, name), claim)| (namespace, name, claim))
    };
    let on_namespace = valid()
        .filter(|(of, _, claim)| !claim.is_cluster_wide && *of == namespace)
        .min_by_key(|(_, name, _)| *name);
    let cluster_wide = || {
        valid()
            .filter(|(_, _, claim)| claim.is_cluster_wide)
            .min_by_key(|(namespace, name, claim)| (claim.created, *namespace, *name))
    };
    match on_namespace.or_else(cluster_wide) {
        Some((_, _, claim)) if claim.lease.record.holder != identity => {
            ManagingOperator::Other(claim.lease.record.holder.clone())
        }
        _ => ManagingOperator::This,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::leader::LeaseRecord;

    fn claim(is_cluster_wide: bool, holder: &str, created: i64, since: Instant) -> Claim {
        Claim {
            is_cluster_wide,
            created: Timestamp::from_second(created).ok(),
            lease: Observed {
                record: LeaseRecord {
                    holder: holder.to_owned(),
                    duration: Duration::from_secs(60),
                    version: "1".to_owned(),
                    transitions: 0,
                },
                since,
            },
        }
    }

    fn claims<const N: usize>(
        claims: [(&str, &str, Claim); N],
    ) -> HashMap<(String, String), Claim> {
        claims
            .into_iter()
            .map(|(namespace, name, claim)| ((namespace.to_owned(), name.to_owned()), claim))
            .collect()
    }

    fn other(holder: &str) -> ManagingOperator {
        ManagingOperator::Other(holder.to_owned())
    }

    #[test]
    fn a_valid_claim_on_the_namespace_precedes_one_on_all_namespaces() {
        let start = Instant::now();
        let known = claims([
            ("system", "all", claim(true, "system/main", 1, start)),
            ("team", "own", claim(false, "team/release", 2, start)),
        ]);
        let manager = |identity, namespace, seconds| {
            let now = start + Duration::from_secs(seconds);
            managing_operator(&known, identity, namespace, now)
        };
        assert_eq!(manager("system/main", "team", 0), other("team/release"));
        assert_eq!(manager("team/release", "team", 0), ManagingOperator::This);
        assert_eq!(manager("system/main", "models", 59), ManagingOperator::This);
        assert_eq!(
            manager("team/release", "models", 0),
            other("system/main"),
            "a namespace without a claim of its own"
        );
        // It wasn't renewed.
        assert_eq!(manager("system/main", "team", 60), ManagingOperator::This);
    }

    #[test]
    fn of_two_claims_on_all_namespaces_the_older_one_counts() {
        let start = Instant::now();
        let known = claims([
            ("a", "all", claim(true, "a/new", 9, start)),
            ("b", "all", claim(true, "b/old", 3, start)),
            ("c", "all", claim(true, "", 1, start)),
        ]);
        for identity in ["a/new", "b/old"] {
            let expected = if identity == "b/old" {
                ManagingOperator::This
            } else {
                other("b/old")
            };
            assert_eq!(
                managing_operator(&known, identity, "models", start),
                expected
            );
        }
        assert_eq!(
            managing_operator(&HashMap::new(), "a/new", "models", start),
            ManagingOperator::This
        );
    }

    #[test]
    fn a_model_service_is_for_the_operators_of_its_class() {
        let of = |class: &str| Claims::new(class.parse().unwrap(), "a/b".to_owned());
        assert!(of(DEFAULT_CLASS).is_own_class(None));
        assert!(of(DEFAULT_CLASS).is_own_class(Some(DEFAULT_CLASS)));
        assert!(!of(DEFAULT_CLASS).is_own_class(Some("canary")));
        assert!(of("canary").is_own_class(Some("canary")));
        assert!(!of("canary").is_own_class(None));
        for class in ["", "-a", "a-", "A", "a.b", &"a".repeat(41)] {
            assert_eq!(
                class.parse::<OperatorClass>(),
                Err(InvalidOperatorClass),
                "{class}"
            );
        }
    }
}
