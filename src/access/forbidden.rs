//! The answer to a request that no authorizer allows, in upstream's words.

use api::field_error::quote;
use api::status::{Qualified, Status};

use crate::{Attributes, User};

/// 403, with the authorizers' reason if there is one.
pub fn forbidden(user: &User, asked: &Attributes, reason: &str) -> Status {
    let told = sanitised(&sentence(user, asked));
    let why = if reason.is_empty() { told } else { format!("{told}: {reason}") };
    Status::forbidden(Qualified { group: asked.group, name: asked.resource }, asked.name, &why)
}

/// `User "x" cannot list resource "pods" in API group "" in the namespace "default"`
fn sentence(user: &User, asked: &Attributes) -> String {
    let (user, verb) = (quote(&user.name), asked.verb);
    if !asked.resource_request {
        return format!("User {user} cannot {verb} path {}", quote(asked.path));
    }
    let resource = match asked.subresource {
        "" => quote(asked.resource),
        part => quote(&format!("{}/{part}", asked.resource)),
    };
    let place = match asked.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {}", quote(namespace)),
    };
    format!("User {user} cannot {verb} resource {resource} in API group {} {place}", quote(asked.group))
}

/// No message may look like HTML.
fn sanitised(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_who_what_where_and_why() {
        let user = User::new("<al>", &[]);
        let on = Attributes::resource;
        for (asked, reason, expected) in [
            (
                on("list", "", "pods").within("default"),
                "",
                r#"pods is forbidden: User "&lt;al&gt;" cannot list resource "pods" in API group "" in the namespace "default""#,
            ),
            (
                on("update", "apps", "deployments").part("scale").within("a").named("web"),
                "rbac: <why>",
                r#"deployments.apps "web" is forbidden: User "&lt;al&gt;" cannot update resource "deployments/scale" in API group "apps" in the namespace "a": rbac: <why>"#,
            ),
            (
                on("get", "", "nodes").named("n"),
                "",
                r#"nodes "n" is forbidden: User "&lt;al&gt;" cannot get resource "nodes" in API group "" at the cluster scope"#,
            ),
            (
                Attributes::path("get", "/metrics"),
                "",
                r#"forbidden: User "&lt;al&gt;" cannot get path "/metrics""#,
            ),
        ] {
            let status = forbidden(&user, &asked, reason);
            assert_eq!((status.code, status.reason, status.message.as_str()), (403, "Forbidden", expected));
        }
    }
}
