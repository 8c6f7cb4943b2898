//! Images: whether one must be pulled, with which credentials, and what a failure is called.

use std::time::Duration;

use api::meta;
use base64::Engine as _;
use client::Place;
use serde_json::Value;

use crate::context::Context;
use crate::cri::messages as m;

/// Why an image is not to be had: upstream's reason and its message.
#[derive(Debug, Clone)]
pub(crate) struct NoImage {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

/// The name as the runtime knows it: with a registry and a tag.
pub(crate) fn full_name(image: &str) -> String {
    let (path, digest) = image.split_once('@').map_or((image, None), |(path, digest)| (path, Some(digest)));
    let first = path.split('/').next().unwrap_or_default();
    let has_registry = path.contains('/') && (first.contains(['.', ':']) || first == "localhost");
    let mut full = match (has_registry, path.contains('/')) {
        (true, _) => path.to_owned(),
        (false, true) => format!("docker.io/{path}"),
        (false, false) => format!("docker.io/library/{path}"),
    };
    if let Some(digest) = digest {
        return format!("{full}@{digest}");
    }
    if !full.rsplit('/').next().unwrap_or_default().contains(':') {
        full.push_str(":latest");
    }
    full
}

/// Makes sure that a container's image is here, by its pull policy.
pub(crate) async fn ensure(
    context: &Context,
    pod: &Value,
    container: &Value,
    list: &str,
    sandbox: &m::SandboxConfig,
) -> Result<m::Image, NoImage> {
    let (name, asked) = (meta::str_at(container, "name"), meta::str_at(container, "image"));
    let image = full_name(asked);
    let there = context
        .cri
        .image(&image)
        .await
        .map_err(|error| NoImage { reason: "ImageInspectError", message: error.message })?;
    let policy = meta::str_at(container, "imagePullPolicy");
    match (policy, there) {
        ("Never" | "IfNotPresent" | "", Some(there)) => {
            let message = format!(
                "Container image \"{asked}\" already present on machine and can be accessed by the pod"
            );
            context.event(pod, false, "Pulled", &message, Some((list, name))).await;
            return Ok(there);
        }
        ("Never", None) => {
            let message = format!("Container image \"{asked}\" is not present with pull policy of Never");
            return Err(NoImage { reason: "ErrImageNeverPull", message });
        }
        _ => {}
    }
    context.event(pod, false, "Pulling", &format!("Pulling image \"{asked}\""), Some((list, name))).await;
    let began = context.clock.now();
    pull(context, pod, &image, sandbox)
        .await
        .map_err(|message| NoImage { reason: "ErrImagePull", message })?;
    let took = Duration::try_from(context.clock.now().duration_since(began)).unwrap_or_default();
    let found = context.cri.image(&image).await.ok().flatten().unwrap_or_default();
    let message = format!(
        "Successfully pulled image \"{asked}\" in {}ms ({}ms including waiting). Image size: {} bytes.",
        took.as_millis(),
        took.as_millis(),
        found.size
    );
    context.event(pod, false, "Pulled", &message, Some((list, name))).await;
    Ok(found)
}

async fn pull(context: &Context, pod: &Value, image: &str, sandbox: &m::SandboxConfig) -> Result<(), String> {
    let _permit = context.pulls.acquire().await; // never closed
    let mut last = None;
    let mut credentials = credentials(context, pod, image).await;
    // Without credentials last, as a registry may be open.
    credentials.push(None);
    for auth in credentials {
        let ask = m::PullImage {
            image: Some(m::ImageSpec { image: image.to_owned() }),
            auth,
            sandbox: Some(sandbox.clone()),
        };
        match context.cri.pull(ask).await {
            Ok(_) => return Ok(()),
            Err(error) => last = Some(error.message),
        }
    }
    Err(last.unwrap_or_default())
}

/// The credentials for an image's registry in the pod's pull secrets.
async fn credentials(context: &Context, pod: &Value, image: &str) -> Vec<Option<m::Auth>> {
    let mut found = Vec::new();
    for reference in meta::list_at(pod, "spec.imagePullSecrets") {
        let place = Place::within(meta::namespace(pod), meta::str_at(reference, "name"));
        let Ok(Some(secret)) = context.get("secrets", "Secret", &place).await else { continue };
        let of = |key: &str| {
            pods::env::bytes(&secret["data"][key])
                .and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok())
        };
        let new = of(".dockerconfigjson").map(|config| config["auths"].clone());
        if let Some(auths) = new.or_else(|| of(".dockercfg")) {
            found.extend(matching(&auths, image).map(Some));
        }
    }
    found
}

fn matching(auths: &Value, image: &str) -> Option<m::Auth> {
    let registry = image.split('/').next().unwrap_or_default();
    let host = |url: &str| {
        let url = url.trim_start_matches("https://").trim_start_matches("http://");
        let host = url.split('/').next().unwrap_or_default();
        if host == "index.docker.io" { "docker.io".to_owned() } else { host.to_owned() }
    };
    let (_, auth) = auths.as_object()?.iter().find(|(url, _)| host(url) == registry)?;
    let text = |field: &str| auth[field].as_str().unwrap_or_default().to_owned();
    let decoded = base64::engine::general_purpose::STANDARD.decode(text("auth")).ok();
    let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let (username, password) = match pair.as_deref().and_then(|pair| pair.split_once(':')) {
        Some((name, word)) => (name.to_owned(), word.to_owned()),
        None => (text("username"), text("password")),
    };
    Some(m::Auth { username, password, auth: String::new() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_completed_as_docker_does() {
        let cases = [
            ("nginx", "docker.io/library/nginx:latest"),
            ("a/b:1", "docker.io/a/b:1"),
            ("registry.k8s.io/pause:3.6", "registry.k8s.io/pause:3.6"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
            ("x@sha256:ab", "docker.io/library/x@sha256:ab"),
        ];
        for (asked, full) in cases {
            assert_eq!(full_name(asked), full);
        }
    }

    #[test]
    fn credentials_are_those_of_the_images_registry() {
        let auths = json!({"https://r.example:5000": {"auth": "dTpwOnE="}, "https://index.docker.io/v1/": {"username": "n", "password": "w"}});
        let auth = matching(&auths, "r.example:5000/a:1").unwrap();
        assert_eq!((auth.username.as_str(), auth.password.as_str()), ("u", "p:q"));
        assert_eq!(matching(&auths, "docker.io/library/a:1").unwrap().username, "n");
        assert!(matching(&auths, "other/a").is_none());
    }
}
