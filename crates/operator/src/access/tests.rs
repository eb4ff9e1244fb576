//! Tests over a fake API server, in paused time.

use axum::http::HeaderValue;
use springtide_testkit::{FakeApi, Fault};

use super::*;

const PROMETHEUS: &str = "system:serviceaccount:monitoring:prometheus";

fn headers(values: &[&str]) -> HeaderMap {
    values
        .iter()
        .map(|value| {
            let value = HeaderValue::from_str(value).unwrap();
            (header::AUTHORIZATION, value)
        })
        .collect()
}

/// An API server with two users: Prometheus with permission to read the metrics, and another one without it.
fn cluster() -> (FakeApi, Access) {
    let fake = FakeApi::new();
    fake.add_token("good", PROMETHEUS);
    fake.add_token("other", "system:serviceaccount:default:default");
    fake.allow(PROMETHEUS, "get", "/metrics");
    let access = Access::new(fake.client());
    (fake, access)
}

async fn check(access: &Access, token: &str) -> Result<(), Denied> {
    access.check(&headers(&[&format!("Bearer {token}")])).await
}

#[test]
fn the_token_is_in_a_single_header() {
    for (values, token) in [
        (&["Bearer abc.d-e_f"][..], Some("abc.d-e_f")),
        (&["bearer abc"], Some("abc")),
        (&["Bearer  abc "], Some("abc")),
        (&[], None),
        (&["Bearer"], None),
        (&["Bearer "], None),
        (&["Bearer a b"], None),
        (&["Basic YTpi"], None),
        (&["abc"], None),
        (&["Bearer a", "Bearer a"], None),
    ] {
        assert_eq!(bearer(&headers(values)), token, "{values:?}");
    }
    let long = "a".repeat(MAX_TOKEN_BYTES);
    assert_eq!(bearer(&headers(&[&format!("Bearer {long}")])), Some(&*long));
    assert_eq!(bearer(&headers(&[&format!("Bearer {long}a")])), None);
}

#[tokio::test(start_paused = true)]
async fn only_allowed_readers_are_accepted() {
    let (fake, access) = cluster();
    assert_eq!(check(&access, "good").await, Ok(()));
    assert_eq!(check(&access, "other").await, Err(Denied::Forbidden));
    assert_eq!(
        check(&access, "unknown").await,
        Err(Denied::Unauthenticated)
    );
    let calls = fake.take_calls();
    let paths: Vec<_> = calls.iter().map(|call| call.path.as_str()).collect();
    const TOKENS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
    const ACCESS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    assert_eq!(paths, [TOKENS, ACCESS, TOKENS, ACCESS, TOKENS]);
    // Without a token, no request is sent.
    let anonymous = access.check(&HeaderMap::new()).await;
    assert_eq!(anonymous, Err(Denied::Unauthenticated));
    assert!(fake.take_calls().is_empty());
}

/// Another path, or another verb, is another right.
#[tokio::test(start_paused = true)]
async fn the_required_permission_is_to_get_the_metrics() {
    let fake = FakeApi::new();
    fake.add_token("good", PROMETHEUS);
    fake.allow(PROMETHEUS, "get", "/healthz");
    fake.allow(PROMETHEUS, "post", "/metrics");
    let access = Access::new(fake.client());
    assert_eq!(check(&access, "good").await, Err(Denied::Forbidden));
}

#[tokio::test(start_paused = true)]
async fn only_positive_responses_are_cached() {
    let (fake, access) = cluster();
    assert_eq!(check(&access, "good").await, Ok(()));
    assert_eq!(check(&access, "other").await, Err(Denied::Forbidden));
    let _ = fake.take_calls();
    fake.remove_token("good");
    fake.allow("system:serviceaccount:default:default", "get", "/metrics");
    assert_eq!(check(&access, "good").await, Ok(()));
    assert!(fake.take_calls().is_empty());
    assert_eq!(check(&access, "other").await, Ok(()));
    tokio::time::advance(CACHE_DURATION).await;
    assert_eq!(check(&access, "good").await, Err(Denied::Unauthenticated));
}

#[tokio::test(start_paused = true)]
async fn readers_are_rejected_without_a_positive_response() {
    // In the first call, and in the second.
    for call in 1..=2 {
        for fault in [
            Fault::Status(403),
            Fault::Status(500),
            Fault::Refused,
            Fault::Stall,
        ] {
            let (fake, access) = cluster();
            fake.inject(call, fault);
            assert_eq!(
                check(&access, "good").await,
                Err(Denied::Unknown),
                "{fault:?} in call {call}"
            );
            assert_eq!(check(&access, "good").await, Ok(()));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn invalid_tokens_do_not_flood_the_api_server() {
    let (fake, access) = cluster();
    assert_eq!(check(&access, "good").await, Ok(()));
    let _ = fake.take_calls();
    for call in 1..=MAX_CONCURRENT_REVIEWS {
        fake.inject(call, Fault::Stall);
    }
    let tokens: Vec<_> = (0..100).map(|number| format!("made-up-{number}")).collect();
    let flood = futures::future::join_all(tokens.iter().map(|token| check(&access, token)));
    let meanwhile = async { check(&access, "good").await };
    let (answers, meanwhile) = futures::join!(flood, meanwhile);
    assert_eq!(answers, vec![Err(Denied::Unknown); tokens.len()]);
    assert_eq!(meanwhile, Ok(()));
    assert_eq!(fake.take_calls().len(), MAX_CONCURRENT_REVIEWS);
}

#[test]
fn the_cache_is_bounded_and_evicts_the_oldest_entry() {
    let mut cache = TokenCache::default();
    let now = Instant::now();
    let digest = |number: usize| -> TokenDigest { Sha256::digest(number.to_be_bytes()).into() };
    for number in 0..=MAX_CACHED {
        cache.insert(digest(number), now);
    }
    assert_eq!(cache.0.len(), MAX_CACHED);
    assert!(!cache.contains(&digest(0), now));
    assert!(cache.contains(&digest(1), now));
    let after = now + CACHE_DURATION;
    assert!(!cache.contains(&digest(1), after));
    assert!(cache.0.is_empty());
}

#[test]
fn responses_without_a_user_or_a_permission_reject_the_reader() {
    let review = |status: serde_json::Value| -> TokenReview {
        serde_json::from_value(serde_json::json!({"spec": {"token": "t"}, "status": status}))
            .unwrap()
    };
    use serde_json::json;
    assert!(
        authenticated(review(
            json!({"authenticated": true, "user": {"username": "u"}})
        ))
        .is_some()
    );
    for status in [
        json!({}),
        json!({"user": {"username": "u"}}),
        json!({"authenticated": false, "user": {"username": "u"}}),
        json!({"authenticated": true}),
        json!({"authenticated": true, "user": {}}),
        json!({"authenticated": true, "user": {"username": ""}}),
    ] {
        assert!(authenticated(review(status.clone())).is_none(), "{status}");
    }
    let review = |status: serde_json::Value| -> SubjectAccessReview {
        serde_json::from_value(json!({"spec": {}, "status": status})).unwrap()
    };
    assert!(is_allowed(&review(json!({"allowed": true}))));
    for status in [
        json!({"allowed": false}),
        json!({"allowed": true, "denied": true}),
    ] {
        assert!(!is_allowed(&review(status.clone())), "{status}");
    }
    assert!(!is_allowed(&SubjectAccessReview::default()));
}
