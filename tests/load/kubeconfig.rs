//! The little of a kubeconfig that is needed to reach a server.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

/// A server and how to be known to it.
#[derive(Clone)]
pub(crate) struct Target {
    /// `127.0.0.1:6443`.
    pub(crate) address: String,
    /// The name in its certificate.
    pub(crate) name: ServerName<'static>,
    /// TLS with its authority and our certificate.
    pub(crate) tls: Arc<ClientConfig>,
    /// A bearer token, where there is no certificate.
    pub(crate) token: Option<String>,
}

/// Reads the current context.
pub(crate) fn read(path: &Path) -> anyhow::Result<Target> {
    let text = std::fs::read_to_string(path)?;
    let config: Value = serde_yaml::from_str(&text)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let current = config["current-context"].as_str().context("it has no current-context")?;
    let context = named(&config["contexts"], current, "context")?;
    let cluster = named(&config["clusters"], context["cluster"].as_str().unwrap_or_default(), "cluster")?;
    let user = named(&config["users"], context["user"].as_str().unwrap_or_default(), "user")?;

    let server = cluster["server"].as_str().context("the cluster has no server")?;
    let Some(address) = server.strip_prefix("https://") else {
        bail!("{server} is no https address");
    };
    let address = address.trim_end_matches('/');
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let name = cluster["tls-server-name"].as_str().unwrap_or(host.trim_matches(['[', ']']));

    let mut roots = RootCertStore::empty();
    let authority = pem(cluster, "certificate-authority", folder)?.context("the cluster has no authority")?;
    for certificate in CertificateDer::pem_slice_iter(&authority) {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let tls = match (pem(user, "client-certificate", folder)?, pem(user, "client-key", folder)?) {
        (Some(chain), Some(key)) => {
            let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>()?;
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key)?)?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Target {
        address: address.to_owned(),
        name: ServerName::try_from(name.to_owned())?,
        tls: Arc::new(tls),
        token: user["token"].as_str().map(str::to_owned),
    })
}

fn named<'a>(list: &'a Value, name: &str, what: &str) -> anyhow::Result<&'a Value> {
    let all = list.as_array().map_or(&[][..], Vec::as_slice);
    let found = all.iter().find(|entry| entry["name"] == name).map(|entry| &entry[what]);
    found.with_context(|| format!("it has no {what} {name:?}"))
}

/// A PEM file, inline (base64 under `FIELD-data`) or by path.
fn pem(of: &Value, field: &str, folder: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    if let Some(data) = of[format!("{field}-data")].as_str() {
        return Ok(Some(STANDARD.decode(data).with_context(|| format!("{field}-data is no base64"))?));
    }
    let Some(path) = of[field].as_str() else {
        return Ok(None);
    };
    let path = folder.join(path);
    Ok(Some(std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?))
}
