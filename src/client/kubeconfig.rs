//! What a kubeconfig says about reaching a server: its text in, a [`Target`] out.
//!
//! Files that it names are read by the caller's function. Programs that hand out
//! credentials (`exec`) and passwords are refused by name.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::connection::Target;
use crate::tls::Credentials;

/// A kubeconfig's context, read.
#[derive(Debug, Clone)]
pub struct Context {
    /// Its name.
    pub name: String,
    /// The server.
    pub target: Target,
    /// The namespace of requests that name none.
    pub namespace: String,
}

/// What is wrong with a kubeconfig.
#[derive(Debug, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct KubeconfigError {
    /// Where.
    pub field: String,
    /// What.
    pub detail: String,
}

fn wrong(field: impl Into<String>, detail: impl Into<String>) -> KubeconfigError {
    KubeconfigError { field: field.into(), detail: detail.into() }
}

/// Reads a file that a kubeconfig names.
pub type ReadFile<'a> = &'a dyn Fn(&Path) -> std::io::Result<String>;

/// Reads `context`, or the current one, of a kubeconfig that lies in `folder`.
pub fn read(
    text: &str,
    folder: &Path,
    context: Option<&str>,
    file: ReadFile<'_>,
) -> Result<Context, KubeconfigError> {
    let config: Value =
        serde_yaml::from_str(text).map_err(|error| wrong("kubeconfig", format!("it is no YAML: {error}")))?;
    let name = match context.or_else(|| config["current-context"].as_str()).unwrap_or_default() {
        "" => return Err(wrong("current-context", "there is none, and no context was asked for")),
        name => name.to_owned(),
    };
    let chosen = named(&config, "contexts", &name, "context")?;
    let part = |field: &str| chosen[field].as_str().unwrap_or_default();
    let cluster = named(&config, "clusters", part("cluster"), "cluster")?;
    let user = named(&config, "users", part("user"), "user")?;
    for unknown in ["exec", "auth-provider", "username", "password"] {
        if !user[unknown].is_null() {
            let field = format!("users.{}.{unknown}", part("user"));
            return Err(wrong(field, "it is not supported: use a client certificate or a token"));
        }
    }
    let server = cluster["server"].as_str().unwrap_or_default();
    let field = || format!("clusters.{}.server", part("cluster"));
    let Some(rest) = server.strip_prefix("https://") else {
        return Err(wrong(field(), format!("{server:?} is no https address")));
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, address) = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, authority.to_owned()),
        _ => (authority, format!("{authority}:443")),
    };
    let name_of_server = cluster["tls-server-name"].as_str().unwrap_or(host.trim_matches(['[', ']']));
    let pem = |of: &Value, name: &str| inline_or_file(of, name, folder, file);
    let certificate = match (pem(user, "client-certificate")?, pem(user, "client-key")?) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        _ => None,
    };
    let token = match (user["token"].as_str(), user["tokenFile"].as_str()) {
        (Some(token), _) => Some(token.to_owned()),
        (None, Some(path)) => Some(read_file(&folder.join(path), "tokenFile", file)?.trim().to_owned()),
        (None, None) => None,
    };
    let authority_pem = pem(cluster, "certificate-authority")?.ok_or_else(|| {
        wrong(format!("clusters.{}.certificate-authority-data", part("cluster")), "is missing")
    })?;
    Ok(Context {
        name,
        target: Target {
            addresses: vec![address],
            server_name: name_of_server.to_owned(),
            credentials: Credentials { authority_pem, certificate, token },
        },
        namespace: Some(part("namespace")).filter(|name| !name.is_empty()).unwrap_or("default").to_owned(),
    })
}

fn named<'a>(config: &'a Value, list: &str, name: &str, what: &str) -> Result<&'a Value, KubeconfigError> {
    let all = config[list].as_array().map_or(&[][..], Vec::as_slice);
    let found = all.iter().find(|entry| entry["name"] == name).map(|entry| &entry[what]);
    found.ok_or_else(|| wrong(list, format!("no {what} is named {name:?}")))
}

/// A PEM text, inline (base64 under `FIELD-data`) or by path.
fn inline_or_file(
    of: &Value,
    field: &str,
    folder: &Path,
    file: ReadFile<'_>,
) -> Result<Option<String>, KubeconfigError> {
    if let Some(data) = of[format!("{field}-data")].as_str() {
        let bytes = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        return bytes.map(Some).ok_or_else(|| wrong(format!("{field}-data"), "it is no base64 of a text"));
    }
    let path: Option<PathBuf> = of[field].as_str().map(|path| folder.join(path));
    path.map(|path| read_file(&path, field, file)).transpose()
}

fn read_file(path: &Path, field: &str, file: ReadFile<'_>) -> Result<String, KubeconfigError> {
    file(path).map_err(|error| wrong(field, format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
current-context: here
contexts:
- {name: here, context: {cluster: c, user: u, namespace: shop}}
- {name: lost, context: {cluster: x, user: u}}
- {name: program, context: {cluster: c, user: p}}
clusters:
- {name: c, cluster: {server: 'https://192.0.2.1', certificate-authority: ca.pem, tls-server-name: kubernetes}}
users:
- {name: u, user: {token: secret}}
- {name: p, user: {exec: {command: aws}}}
";

    fn context(name: Option<&str>) -> Result<Context, String> {
        let file = |path: &Path| Ok(format!("text of {}", path.display()));
        read(TEXT, Path::new("/home"), name, &file).map_err(|error| error.to_string())
    }

    #[test]
    fn the_current_context_tells_server_name_namespace_and_credentials() {
        let context = context(None).unwrap();
        assert_eq!((&*context.name, &*context.namespace), ("here", "shop"));
        assert_eq!(context.target.addresses, ["192.0.2.1:443"]);
        assert_eq!(context.target.server_name, "kubernetes");
        assert_eq!(context.target.credentials.authority_pem, "text of /home/ca.pem");
        assert_eq!(context.target.credentials.token.as_deref(), Some("secret"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let cases = [
            ("nowhere", "contexts: no context is named \"nowhere\""),
            ("lost", "clusters: no cluster is named \"x\""),
            ("program", "users.p.exec: it is not supported: use a client certificate or a token"),
        ];
        for (name, words) in cases {
            assert_eq!(context(Some(name)).unwrap_err(), words);
        }
    }
}
