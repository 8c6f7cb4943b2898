//! TokenReview and SelfSubjectReview: whose is this, and who am I.

use api::meta::{self, list_at, str_at};
use api::status::Status;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::User;
use crate::lookups::Lookups;
use crate::token::{Issuer, TokenError};

/// Whose token it is, for one of the audiences that are asked for.
pub fn token(
    issuer: &Issuer,
    mut review: Value,
    now: Timestamp,
    objects: &dyn Lookups,
) -> Result<Value, Status> {
    let token = str_at(&review, "spec.token");
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let asked = list_at(&review, "spec.audiences").iter().filter_map(Value::as_str);
    let asked: Vec<String> = asked.map(str::to_owned).collect();
    let status = match issuer.verify(token, &asked, now, objects) {
        Ok(verified) => json!({
            "authenticated": true,
            "user": user_info(&verified.user.authenticated()),
            "audiences": verified.audiences,
        }),
        Err(TokenError::Foreign) => json!({"user": {}, "error": TokenError::Foreign.to_string()}),
        // Upstream has two authenticators of tokens: the other one says the same of each.
        Err(error) => json!({"user": {}, "error": format!("[{}, {error}]", TokenError::Foreign)}),
    };
    meta::put(&mut review, "status", status);
    Ok(review)
}

/// Who asks.
pub fn self_subject(user: &User, mut review: Value, now: Timestamp) -> Value {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    meta::put(&mut review, "metadata", json!({"creationTimestamp": now.to_string()}));
    meta::put(&mut review, "status", json!({"userInfo": user_info(user)}));
    review
}

fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    let mut put = |field: &str, value: Value, empty: bool| {
        if !empty {
            info.insert(field.to_owned(), value);
        }
    };
    put("username", json!(user.name), user.name.is_empty());
    put("uid", json!(user.uid), user.uid.is_empty());
    put("groups", json!(user.groups), user.groups.is_empty());
    put("extra", json!(user.extra), user.extra.is_empty());
    Value::Object(info)
}
