//! Authentication and authorization: `TokenReviews` and `SubjectAccessReviews`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// The known users and their permissions.
#[derive(Debug, Default)]
pub(crate) struct Reviews {
    /// Users by their tokens.
    pub(crate) users: BTreeMap<String, String>,
    /// User, verb and path.
    pub(crate) allowed: BTreeSet<[String; 3]>,
}

impl Reviews {
    /// The response to a review that is posted to the collection `plural`. `None` if that is no kind of review.
    pub(crate) fn answer(&self, plural: &str, mut review: Value) -> Option<Value> {
        let spec = &review["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        review["status"] = match plural {
            "tokenreviews" => match self.users.get(&text(&spec["token"])) {
                Some(user) => json!({
                    "authenticated": true,
                    "user": {"username": user, "groups": ["system:authenticated"]},
                }),
                None => json!({"authenticated": false, "error": "invalid bearer token"}),
            },
            "subjectaccessreviews" => {
                let attributes = &spec["nonResourceAttributes"];
                let asked = [&spec["user"], &attributes["verb"], &attributes["path"]].map(text);
                json!({"allowed": self.allowed.contains(&asked)})
            }
            _ => return None,
        };
        Some(review)
    }
}
