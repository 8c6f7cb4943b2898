//! The cluster's keys and certificates, as the state folder keeps them.
//!
//! Authorities and the operator's SSH key are made once. A leaf is made anew
//! when its names or addresses change, and in the last third of its life. An
//! authority's key goes to nobody from here.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use base::{Clock, chain};
use pki::{Authority, CertificateInfo, LEAF_LIFE, Leaf, LeafRequest, PkiError, Secret, Usage};
use plan::Role;
use plan::config::Config;

/// Small named texts that survive the process: the state folder, or a map in tests.
pub trait Vault: Send + Sync {
    /// The text under `name`, if there is one. Names look like `pki/ca.crt`.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, name: &str) -> std::io::Result<Option<String>>;

    /// Replaces the text under `name`: the old one or the whole new one, readable by its owner only.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&self, name: &str, content: &str) -> std::io::Result<()>;
}

/// Why a key or certificate is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// A file of the state folder.
    #[error("{name} in the state folder cannot be used")]
    File {
        /// Which file.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Half of a pair is missing.
    #[error(
        "{missing} is missing in the state folder though its other half is there; put it back from a backup"
    )]
    Torn {
        /// Which file.
        missing: String,
    },
    /// Making or reading one.
    #[error("{name}: {}", chain(source))]
    Pki {
        /// Which file.
        name: String,
        /// Why.
        source: PkiError,
    },
}

/// What a leaf is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeafKind {
    /// A node's own: kubelet's client and server certificate, and the artifact server's.
    Node,
    /// An etcd member's.
    EtcdMember,
    /// What the control plane shows to etcd.
    EtcdClient,
    /// What the API server shows to the world.
    ApiServer,
    /// What the API server shows to agents.
    KubeletClient,
}

/// The addresses of a node, as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// In the VPC.
    pub private: Ipv4Addr,
    /// On the internet.
    pub public: Option<Ipv4Addr>,
}

/// A node's machine, as AWS tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// `i-…`
    pub id: String,
    /// Instance type.
    pub instance_type: String,
    /// Availability zone.
    pub zone: String,
    /// Where it is.
    pub at: Addresses,
}

/// A certificate of the state folder.
#[derive(Debug)]
pub struct Listed {
    /// Its file, without extension: `pki/master-0/node`.
    pub name: String,
    /// What it says.
    pub info: CertificateInfo,
}

/// The keys and certificates of one cluster.
pub struct Material {
    vault: Arc<dyn Vault>,
    clock: Arc<dyn Clock>,
    cluster: Authority,
    etcd: Authority,
    tokens: Secret,
    ssh_private: Secret,
    ssh_public: String,
}

/// Which kinds of leaf a role has.
#[must_use]
pub(super) fn leaves_of(role: Role) -> &'static [LeafKind] {
    match role {
        Role::Master => &[
            LeafKind::Node,
            LeafKind::EtcdMember,
            LeafKind::EtcdClient,
            LeafKind::ApiServer,
            LeafKind::KubeletClient,
        ],
        Role::Worker => &[LeafKind::Node],
    }
}

impl LeafKind {
    /// Its file name without extension.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::EtcdMember => "etcd-member",
            Self::EtcdClient => "etcd-client",
            Self::ApiServer => "apiserver",
            Self::KubeletClient => "kubelet-client",
        }
    }
}

/// Whom agents know API servers as.
const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";
/// Whom the cluster's first administrator is known as, by name and group (upstream's bootstrap policy binds both).
const ADMIN: (&str, &str) = ("kubernetes-admin", "system:masters");

/// The name every API server certificate carries, whatever the addresses.
#[must_use]
pub fn api_name(cluster: &str) -> String {
    format!("api.{cluster}.cluster.internal")
}

impl Material {
    /// Takes up the material of the state folder, making what is not there yet.
    ///
    /// # Errors
    /// The folder cannot be used, or holds half a pair.
    pub fn open(vault: Arc<dyn Vault>, clock: Arc<dyn Clock>, name: &str) -> Result<Self, MaterialError> {
        let cluster = authority(&*vault, &*clock, "pki/ca", &format!("{name} cluster CA"))?;
        let etcd = authority(&*vault, &*clock, "pki/etcd-ca", &format!("{name} etcd CA"))?;
        let tokens = tokens_key(&*vault, &*clock)?;
        let (ssh_private, ssh_public) = ssh_key(&*vault, name)?;
        Ok(Self { vault, clock, cluster, etcd, tokens, ssh_private, ssh_public })
    }

    /// The operator's public SSH key, `ssh-ed25519 AAAA…`, without comment.
    #[must_use]
    pub fn ssh_public(&self) -> &str {
        &self.ssh_public
    }

    /// The operator's private SSH key, OpenSSH form.
    #[must_use]
    pub fn ssh_private(&self) -> &Secret {
        &self.ssh_private
    }

    /// The cluster authority's certificate, PEM.
    #[must_use]
    pub fn cluster_ca(&self) -> &str {
        self.cluster.cert_pem()
    }

    /// The key that signs service accounts' tokens, PEM.
    #[must_use]
    pub(super) fn tokens_key(&self) -> &Secret {
        &self.tokens
    }

    /// A new client certificate for the cluster's administrator. It is kept nowhere.
    ///
    /// # Errors
    /// The authority's own time is over.
    pub fn admin(&self) -> Result<Leaf, MaterialError> {
        let (name, group) = ADMIN;
        let request = LeafRequest {
            common_name: name.to_owned(),
            organization: Some(group.to_owned()),
            dns_names: Vec::new(),
            ip_addresses: Vec::new(),
            usage: Usage::Client,
            valid_for: LEAF_LIFE,
        };
        let issued = self.cluster.issue(&request, self.clock.now());
        issued.map_err(|source| MaterialError::Pki { name: name.to_owned(), source })
    }

    /// The etcd authority's certificate, PEM.
    #[must_use]
    pub fn etcd_ca(&self) -> &str {
        self.etcd.cert_pem()
    }

    /// The leaf of a slot, if it is there and needs no replacement.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn current(
        &self,
        config: &Config,
        slot: &str,
        kind: LeafKind,
        at: Addresses,
    ) -> Result<Option<Leaf>, MaterialError> {
        let name = leaf_name(slot, kind);
        let Some((cert_pem, key_pem)) = pair(&*self.vault, &name)? else { return Ok(None) };
        let info = pki::inspect(&cert_pem).map_err(|source| MaterialError::Pki { name, source })?;
        let wanted = request(config, slot, kind, at);
        let fresh = !pki::needs_renewal(&info, self.clock.now())
            && info.issuer == self.authority_of(kind).info().subject
            && says(&info, &wanted);
        Ok(fresh.then_some(Leaf { cert_pem, key_pem }))
    }

    /// The leaf of a slot, made anew where [`Self::current`] has none.
    ///
    /// # Errors
    /// The folder cannot be used, or the authority's own time is over.
    pub fn leaf(
        &self,
        config: &Config,
        slot: &str,
        kind: LeafKind,
        at: Addresses,
    ) -> Result<Leaf, MaterialError> {
        if let Some(leaf) = self.current(config, slot, kind, at)? {
            return Ok(leaf);
        }
        let name = leaf_name(slot, kind);
        let leaf = self
            .authority_of(kind)
            .issue(&request(config, slot, kind, at), self.clock.now())
            .map_err(|source| MaterialError::Pki { name: name.clone(), source })?;
        store(&*self.vault, &name, &leaf.cert_pem, &leaf.key_pem)?;
        Ok(leaf)
    }

    /// Every certificate that is there: the authorities', then those of `slots`.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn list(&self, slots: &BTreeMap<String, Role>) -> Result<Vec<Listed>, MaterialError> {
        let mut listed = vec![
            Listed { name: "pki/ca".to_owned(), info: self.cluster.info().clone() },
            Listed { name: "pki/etcd-ca".to_owned(), info: self.etcd.info().clone() },
        ];
        for (slot, role) in slots {
            for kind in leaves_of(*role) {
                let name = leaf_name(slot, *kind);
                if let Some((cert_pem, _)) = pair(&*self.vault, &name)? {
                    let info = pki::inspect(&cert_pem)
                        .map_err(|source| MaterialError::Pki { name: name.clone(), source })?;
                    listed.push(Listed { name, info });
                }
            }
        }
        Ok(listed)
    }

    fn authority_of(&self, kind: LeafKind) -> &Authority {
        match kind {
            LeafKind::Node | LeafKind::ApiServer | LeafKind::KubeletClient => &self.cluster,
            LeafKind::EtcdMember | LeafKind::EtcdClient => &self.etcd,
        }
    }
}

fn leaf_name(slot: &str, kind: LeafKind) -> String {
    format!("pki/{slot}/{}", kind.file())
}

/// What the leaf of a slot should say.
fn request(config: &Config, slot: &str, kind: LeafKind, at: Addresses) -> LeafRequest {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let own: Vec<IpAddr> = [Some(at.private), at.public].into_iter().flatten().map(IpAddr::V4).collect();
    let (common_name, organization, dns_names, ip_addresses, usage) = match kind {
        LeafKind::Node => {
            (format!("system:node:{slot}"), Some("system:nodes"), vec![slot.to_owned()], own, Usage::Peer)
        }
        LeafKind::EtcdMember => {
            let names = vec![slot.to_owned(), "localhost".to_owned()];
            (slot.to_owned(), None, names, vec![IpAddr::V4(at.private), loopback], Usage::Peer)
        }
        LeafKind::EtcdClient => ("cluster-server".to_owned(), None, Vec::new(), Vec::new(), Usage::Client),
        LeafKind::KubeletClient => (KUBELET_CLIENT.to_owned(), None, Vec::new(), Vec::new(), Usage::Client),
        LeafKind::ApiServer => {
            let (names, addresses) = api_names(config, slot, own);
            ("kube-apiserver".to_owned(), None, names, addresses, Usage::Server)
        }
    };
    LeafRequest {
        common_name,
        organization: organization.map(str::to_owned),
        dns_names,
        ip_addresses,
        usage,
        valid_for: LEAF_LIFE,
    }
}

/// Every name and address under which the API is asked.
fn api_names(config: &Config, slot: &str, own: Vec<IpAddr>) -> (Vec<String>, Vec<IpAddr>) {
    let fixed = ["kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut names: Vec<String> = fixed.iter().map(|name| (*name).to_owned()).collect();
    names.extend([
        "kubernetes.default.svc.cluster.local".to_owned(),
        "localhost".to_owned(),
        slot.to_owned(),
        api_name(&config.name),
    ]);
    let mut addresses = own;
    addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    addresses.extend(config.network.service_cidr.hosts().next().map(IpAddr::V4));
    for extra in &config.extra_api_names {
        match extra.parse::<IpAddr>() {
            Ok(address) => addresses.push(address),
            Err(_) => names.push(extra.clone()),
        }
    }
    (names, addresses)
}

/// Whether a certificate says all that is wanted and nothing else.
fn says(info: &CertificateInfo, wanted: &LeafRequest) -> bool {
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names.dedup();
        names
    };
    let addresses = |list: &[IpAddr]| sorted(list.iter().map(ToString::to_string).collect());
    info.subject == wanted.common_name
        && sorted(info.dns_names.clone()) == sorted(wanted.dns_names.clone())
        && addresses(&info.ips) == addresses(&wanted.ip_addresses)
}

fn authority(
    vault: &dyn Vault,
    clock: &dyn Clock,
    name: &str,
    common_name: &str,
) -> Result<Authority, MaterialError> {
    let failed = |source| MaterialError::Pki { name: name.to_owned(), source };
    if let Some((certificate, key)) = pair(vault, name)? {
        return Authority::load(&certificate, &key).map_err(failed);
    }
    let made = Authority::create(common_name, clock.now()).map_err(failed)?;
    store(vault, name, made.cert_pem(), made.key_pem())?;
    Ok(made)
}

/// The key is written first: a certificate without a key is what [`pair`] calls torn,
/// a key without a certificate is simply made anew.
fn store(vault: &dyn Vault, name: &str, certificate: &str, key: &Secret) -> Result<(), MaterialError> {
    write(vault, &format!("{name}.key"), key.expose())?;
    write(vault, &format!("{name}.crt"), certificate)
}

fn pair(vault: &dyn Vault, name: &str) -> Result<Option<(String, Secret)>, MaterialError> {
    let Some(certificate) = read(vault, &format!("{name}.crt"))? else { return Ok(None) };
    match read(vault, &format!("{name}.key"))? {
        Some(key) => Ok(Some((certificate, Secret::new(key)))),
        None => Err(MaterialError::Torn { missing: format!("{name}.key") }),
    }
}

/// Only its key counts: what it signs is believed by whoever holds the key.
fn tokens_key(vault: &dyn Vault, clock: &dyn Clock) -> Result<Secret, MaterialError> {
    const NAME: &str = "pki/sa.key";
    if let Some(key) = read(vault, NAME)? {
        return Ok(Secret::new(key));
    }
    let made = Authority::create("service-accounts", clock.now())
        .map_err(|source| MaterialError::Pki { name: NAME.to_owned(), source })?;
    write(vault, NAME, made.key_pem().expose())?;
    Ok(made.key_pem().clone())
}

fn ssh_key(vault: &dyn Vault, cluster: &str) -> Result<(Secret, String), MaterialError> {
    const PRIVATE: &str = "ssh/id_ed25519";
    const PUBLIC: &str = "ssh/id_ed25519.pub";
    if let Some(public) = read(vault, PUBLIC)? {
        let private = read(vault, PRIVATE)?;
        let private = private.ok_or_else(|| MaterialError::Torn { missing: PRIVATE.to_owned() })?;
        return Ok((Secret::new(private), without_comment(&public)));
    }
    let made = pki::ssh_keypair(&format!("cluster-{cluster}"))
        .map_err(|source| MaterialError::Pki { name: PRIVATE.to_owned(), source })?;
    write(vault, PRIVATE, made.private_openssh.expose())?;
    write(vault, PUBLIC, &made.public)?;
    let public = without_comment(&made.public);
    Ok((made.private_openssh, public))
}

fn without_comment(line: &str) -> String {
    line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

fn read(vault: &dyn Vault, name: &str) -> Result<Option<String>, MaterialError> {
    vault.read(name).map_err(|source| MaterialError::File { name: name.to_owned(), source })
}

fn write(vault: &dyn Vault, name: &str, content: &str) -> Result<(), MaterialError> {
    vault.write(name, content).map_err(|source| MaterialError::File { name: name.to_owned(), source })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::sync::Mutex;

    use base::ManualClock;

    use super::*;

    /// A vault that forgets everything with the test.
    #[derive(Default)]
    pub(in crate::bootstrap) struct MapVault(Mutex<BTreeMap<String, String>>);

    impl Vault for MapVault {
        fn read(&self, name: &str) -> std::io::Result<Option<String>> {
            Ok(self.0.lock().unwrap().get(name).cloned())
        }

        fn write(&self, name: &str, content: &str) -> std::io::Result<()> {
            self.0.lock().unwrap().insert(name.to_owned(), content.to_owned());
            Ok(())
        }
    }

    fn at(public: Option<&str>) -> Addresses {
        Addresses { private: Ipv4Addr::new(10, 20, 0, 5), public: public.map(|text| text.parse().unwrap()) }
    }

    fn material() -> (Arc<MapVault>, Arc<ManualClock>, Material) {
        let vault = Arc::new(MapVault::default());
        let clock = Arc::new(ManualClock::default());
        let material = Material::open(vault.clone(), clock.clone(), "shop").unwrap();
        (vault, clock, material)
    }

    #[test]
    fn opening_again_gives_the_same_keys() {
        let (vault, clock, first) = material();
        let second = Material::open(vault, clock, "shop").unwrap();
        assert_eq!(first.cluster_ca(), second.cluster_ca());
        assert_eq!(first.ssh_public(), second.ssh_public());
    }

    #[test]
    fn an_api_certificate_covers_every_address_and_name() {
        let (_, _, material) = material();
        let mut config = Config::defaults("shop");
        config.extra_api_names = vec!["k8s.example.com".to_owned(), "192.0.2.9".to_owned()];
        let leaf = material.leaf(&config, "master-0", LeafKind::ApiServer, at(Some("198.51.100.1"))).unwrap();
        let info = pki::inspect(&leaf.cert_pem).unwrap();
        for name in ["kubernetes.default.svc", "api.shop.cluster.internal", "k8s.example.com"] {
            assert!(info.dns_names.iter().any(|n| n == name), "{name} is not in {:?}", info.dns_names);
        }
        for address in ["10.20.0.5", "198.51.100.1", "127.0.0.1", "10.96.0.1", "192.0.2.9"] {
            assert!(info.ips.contains(&address.parse().unwrap()), "{address} is not in {:?}", info.ips);
        }
    }

    #[test]
    fn a_leaf_is_kept_until_its_addresses_change_or_its_last_third_begins() {
        let (_, clock, material) = material();
        let config = Config::defaults("shop");
        let leaf = |at| material.leaf(&config, "general-0", LeafKind::Node, at).unwrap().cert_pem;
        let first = leaf(at(None));
        assert_eq!(first, leaf(at(None)));
        let moved = leaf(at(Some("198.51.100.1")));
        assert_ne!(first, moved);
        clock.advance(LEAF_LIFE * 2 / 3 + std::time::Duration::from_secs(3600));
        assert!(
            material
                .current(&config, "general-0", LeafKind::Node, at(Some("198.51.100.1")))
                .unwrap()
                .is_none()
        );
        assert_ne!(moved, leaf(at(Some("198.51.100.1"))));
    }

    #[test]
    fn half_a_pair_is_named_and_never_overwritten() {
        let (vault, clock, _) = material();
        vault.0.lock().unwrap().remove("pki/ca.key");
        let error = Material::open(vault, clock, "shop").err().unwrap();
        assert!(error.to_string().starts_with("pki/ca.key is missing"), "{error}");
    }
}
