//! The server's authorities, certificates and keys, in a folder readable by its owner alone.
//!
//! Authorities and the key that signs service accounts' tokens are made once. Leaves are made
//! at every start, so that they carry the addresses that the machine has now.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base::Clock;
use base64::Engine as _;
use pki::{Authority, LEAF_LIFE, LeafRequest, Secret, Usage};

/// Certificates and keys of a server.
pub(crate) struct Identity {
    /// The authority's certificate.
    pub(crate) authority_pem: String,
    /// What the server shows.
    pub(crate) certificate_pem: String,
    /// Its key.
    pub(crate) key_pem: Secret,
    /// The key that signs service accounts' tokens.
    pub(crate) tokens_pem: Secret,
    /// What is shown to agents: a client certificate and its key.
    pub(crate) kubelet_client: (String, Secret),
    /// Where the admin's kubeconfig is, if one was made.
    pub(crate) kubeconfig: Option<PathBuf>,
}

/// Whom agents know API servers as.
const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";

/// Names that pods reach the API under.
const NAMES: &[&str] = &[
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
];

impl Identity {
    /// Takes what somebody else made: `ca.crt`, and pairs named `apiserver` and `kubelet-client`, and `sa.key`.
    pub(crate) fn given(folder: &Path) -> anyhow::Result<Self> {
        let text = |name: &str| read(&folder.join(name));
        Ok(Self {
            authority_pem: text("ca.crt")?,
            certificate_pem: text("apiserver.crt")?,
            key_pem: Secret::new(text("apiserver.key")?),
            tokens_pem: Secret::new(text("sa.key")?),
            kubelet_client: (text("kubelet-client.crt")?, Secret::new(text("kubelet-client.key")?)),
            kubeconfig: None,
        })
    }

    /// Takes up what is in the folder, or makes it; writes the admin's kubeconfig.
    pub(crate) fn open(
        folder: &Path,
        addresses: &[IpAddr],
        port: u16,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        let now = clock.now();
        let pki = folder.join("pki");
        make_folder(&pki)?;
        let authority = authority(&pki, "ca", "kubernetes", clock)?;
        // Its certificate is never shown: only the key signs.
        let tokens = authority_key(&pki, "sa", clock)?;
        let server = authority.issue(
            &LeafRequest {
                common_name: "kube-apiserver".to_owned(),
                organization: None,
                dns_names: NAMES.iter().map(|name| (*name).to_owned()).collect(),
                ip_addresses: addresses.to_vec(),
                usage: Usage::Server,
                valid_for: LEAF_LIFE,
            },
            now,
        )?;
        let client = |name: &str, group: Option<&str>| {
            let request = LeafRequest {
                common_name: name.to_owned(),
                organization: group.map(str::to_owned),
                dns_names: Vec::new(),
                ip_addresses: Vec::new(),
                usage: Usage::Client,
                valid_for: LEAF_LIFE,
            };
            authority.issue(&request, now)
        };
        let admin = client("kubernetes-admin", Some("system:masters"))?;
        let kubelet_client = client(KUBELET_CLIENT, None)?;
        let kubeconfig = folder.join("admin.kubeconfig");
        let text = kubeconfig_text(authority.cert_pem(), &admin.cert_pem, admin.key_pem.expose(), port);
        write_private(&kubeconfig, &text)?;
        Ok(Self {
            authority_pem: authority.cert_pem().to_owned(),
            certificate_pem: server.cert_pem,
            key_pem: server.key_pem,
            tokens_pem: tokens,
            kubelet_client: (kubelet_client.cert_pem, kubelet_client.key_pem),
            kubeconfig: Some(kubeconfig),
        })
    }
}

fn authority(pki: &Path, file: &str, name: &str, clock: &dyn Clock) -> anyhow::Result<Authority> {
    let (certificate, key) = (pki.join(format!("{file}.crt")), pki.join(format!("{file}.key")));
    if certificate.exists() && key.exists() {
        let key = Secret::new(read(&key)?);
        let loaded = Authority::load(&read(&certificate)?, &key);
        return loaded.with_context(|| format!("take up the authority {}", certificate.display()));
    }
    let made = Authority::create(name, clock.now())?;
    write_private(&key, made.key_pem().expose())?;
    write_private(&certificate, made.cert_pem())?;
    Ok(made)
}

fn authority_key(pki: &Path, file: &str, clock: &dyn Clock) -> anyhow::Result<Secret> {
    let key = pki.join(format!("{file}.key"));
    if key.exists() {
        return Ok(Secret::new(read(&key)?));
    }
    let made = Authority::create("service-accounts", clock.now())?;
    write_private(&key, made.key_pem().expose())?;
    Ok(made.key_pem().clone())
}

fn kubeconfig_text(authority: &str, certificate: &str, key: &str, port: u16) -> String {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let (authority, certificate, key) = (encode(authority), encode(certificate), encode(key));
    let address = Ipv4Addr::LOCALHOST;
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: cluster\n  cluster:\n    server: https://{address}:{port}\n    certificate-authority-data: {authority}\n\
         users:\n\
         - name: admin\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n\
         contexts:\n\
         - name: cluster\n  context:\n    cluster: cluster\n    user: admin\n\
         current-context: cluster\n"
    )
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn make_folder(path: &Path) -> anyhow::Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("make the folder {}", path.display()))
}

/// Writes a file that its owner alone may read, whole or not at all.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}
