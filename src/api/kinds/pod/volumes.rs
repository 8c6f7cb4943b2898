//! Volumes of a pod: one source each, and that source's own rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::containers::{field_ref, resource_field_ref};
use crate::field_error::{At, Errors, Path, quote};
use crate::kinds::metadata;
use crate::kinds::rules::{
    known, mode, no_backsteps, quantity, relative_not_reserved, relative_path, required, user,
};
use crate::names::{dns1123_label, dns1123_subdomain};

/// A source's name in the object, and its rules.
type Source = (&'static str, fn(&At<'_>, &mut Errors));

/// In the order in which upstream looks at them; `emptyDir` is looked at first.
const SOURCES: &[Source] = &[
    ("hostPath", host_path),
    ("gitRepo", git_repo),
    ("gcePersistentDisk", |v, e| fields(v, &["pdName"], e)),
    ("awsElasticBlockStore", |v, e| fields(v, &["volumeID"], e)),
    ("secret", |v, e| keys(v, "secretName", e)),
    ("nfs", nfs),
    ("iscsi", iscsi),
    ("glusterfs", |v, e| fields(v, &["endpoints", "path"], e)),
    ("flocker", flocker),
    ("persistentVolumeClaim", |v, e| fields(v, &["claimName"], e)),
    ("rbd", |v, e| fields(v, &["monitors", "image"], e)),
    ("cinder", |v, e| fields(v, &["volumeID"], e)),
    ("cephfs", |v, e| fields(v, &["monitors"], e)),
    ("quobyte", |v, e| fields(v, &["registry", "volume"], e)),
    ("downwardAPI", downward),
    ("fc", fc),
    ("flexVolume", |v, e| fields(v, &["driver"], e)),
    ("configMap", |v, e| keys(v, "name", e)),
    ("azureFile", |v, e| fields(v, &["secretName", "shareName"], e)),
    ("vsphereVolume", |v, e| fields(v, &["volumePath"], e)),
    ("photonPersistentDisk", |v, e| fields(v, &["pdID"], e)),
    ("portworxVolume", |v, e| fields(v, &["volumeID"], e)),
    ("azureDisk", |v, e| fields(v, &["diskName", "diskURI"], e)),
    ("storageos", |v, e| fields(v, &["volumeName"], e)),
    ("projected", projected),
    ("scaleIO", |v, e| fields(v, &["gateway", "system", "volumeName"], e)),
    ("csi", csi),
    ("ephemeral", ephemeral),
    ("image", image),
];

/// The rules of a source that volumes of pods and of the cluster share.
pub(in crate::kinds) fn rules_of(name: &str) -> Option<fn(&At<'_>, &mut Errors)> {
    SOURCES.iter().find(|(source, _)| *source == name).map(|(_, rules)| *rules)
}

/// Checks volumes; gives those that are fine by name. `pod` is the pod's name where it has one.
pub(super) fn volumes<'a>(at: &At<'a>, pod: &str, e: &mut Errors) -> BTreeMap<&'a str, &'a Value> {
    let claims: BTreeSet<String> = at
        .items()
        .filter(|v| !pod.is_empty() && v.get("ephemeral").is_set())
        .map(|v| format!("{pod}-{}", v.get("name").str()))
        .collect();
    let mut fine = BTreeMap::new();
    for volume in at.items() {
        let (name, mut wrong) = (volume.get("name"), Errors::new());
        source(&volume, pod, &mut wrong);
        if required(&name, &mut wrong) {
            wrong.invalid_each(&name, dns1123_label(name.str()));
        }
        if fine.contains_key(name.str()) {
            wrong.duplicate(&name.path, name.str());
        }
        if wrong.is_empty() {
            fine.extend(volume.value.map(|v| (name.str(), v)));
        } else {
            e.extend(wrong);
        }
        let claim = volume.get("persistentVolumeClaim.claimName");
        if claims.contains(claim.str()) {
            e.invalid(&claim, "must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    fine
}

fn source(volume: &At<'_>, pod: &str, e: &mut Errors) {
    let empty = volume.get("emptyDir");
    let mut count = usize::from(empty.is_set());
    if quantity(&empty.get("sizeLimit")).is_negative() {
        e.forbidden(&empty.get("sizeLimit").path, "SizeLimit field must be a valid resource quantity");
    }
    if empty.get("mode").opt_int().is_some_and(|mode| !(0..=0o1777).contains(&mode)) {
        e.invalid(&empty.get("mode"), "must be a number between 0 and 01777 (octal), both inclusive");
    }
    for (name, rules) in SOURCES {
        let found = volume.get(name);
        if !found.is_set() {
            continue;
        }
        if count > 0 {
            e.forbidden(&found.path, "may not specify more than 1 volume type");
            continue;
        }
        count += 1;
        rules(&found, e);
        let own = volume.get("name");
        if *name == "ephemeral" && !pod.is_empty() && !own.is_empty() {
            let claim = format!("{pod}-{}", own.str());
            for wrong in dns1123_subdomain(&claim) {
                e.invalid(&own, format!("PVC name {}: {wrong}", quote(&claim)));
            }
        }
    }
    if count == 0 {
        e.required(&volume.path, "must specify a volume type");
    }
}

fn fields(at: &At<'_>, names: &[&'static str], e: &mut Errors) {
    for name in names {
        required(&at.get(name), e);
    }
}

fn host_path(at: &At<'_>, e: &mut Errors) {
    let path = at.get("path");
    if !required(&path, e) {
        return;
    }
    no_backsteps(&path, e);
    let kinds =
        ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
    e.one_of(&at.get("type"), &kinds);
}

fn git_repo(at: &At<'_>, e: &mut Errors) {
    required(&at.get("repository"), e);
    relative_path(&at.get("directory"), e);
}

fn nfs(at: &At<'_>, e: &mut Errors) {
    fields(at, &["server", "path"], e);
    if !at.get("path").str().starts_with('/') {
        e.invalid(&at.get("path"), "must be an absolute path");
    }
}

fn iscsi(at: &At<'_>, e: &mut Errors) {
    fields(at, &["targetPortal", "iqn"], e);
    let lun = at.get("lun");
    if !(0..=255).contains(&lun.int()) {
        e.invalid(&lun, "must be between 0 and 255, inclusive");
    }
}

fn flocker(at: &At<'_>, e: &mut Errors) {
    let (name, uuid) = (at.get("datasetName"), at.get("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        e.required(&at.path, "one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        e.invalid_as(&at.path, "resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.str().contains('/') {
        e.invalid(&name, "must not contain '/'");
    }
}

fn fc(at: &At<'_>, e: &mut Errors) {
    let (names, ids) = (at.get("targetWWNs"), at.get("wwids"));
    match (names.is_empty(), ids.is_empty()) {
        (true, true) => e.required(&names.path, "must specify either targetWWNs or wwids, but not both"),
        (false, false) => {
            e.invalid(&names, "targetWWNs and wwids can not be specified simultaneously");
        }
        _ => {}
    }
    if !names.is_empty() {
        let lun = at.get("lun");
        if !lun.is_set() {
            e.required(&lun.path, "lun is required if targetWWNs is specified");
        } else if !(0..=255).contains(&lun.int()) {
            e.invalid(&lun, "must be between 0 and 255, inclusive");
        }
    }
}

/// A ConfigMap's or Secret's files.
fn keys(at: &At<'_>, name: &'static str, e: &mut Errors) {
    required(&at.get(name), e);
    mode(&at.get("defaultMode"), e);
    user(&at.get("defaultUser"), e);
    for item in at.get("items").items() {
        key_to_path(&item, e);
    }
}

fn key_to_path(at: &At<'_>, e: &mut Errors) {
    fields(at, &["key", "path"], e);
    relative_not_reserved(&at.get("path"), e);
    mode(&at.get("mode"), e);
    user(&at.get("user"), e);
}

fn downward(at: &At<'_>, e: &mut Errors) {
    mode(&at.get("defaultMode"), e);
    user(&at.get("defaultUser"), e);
    for file in at.get("items").items() {
        downward_file(&file.under(at.path.clone()), e);
    }
}

/// A file of the downward API; upstream names the volume rather than the item as its place.
fn downward_file(at: &At<'_>, e: &mut Errors) {
    const PATHS: &[&str] =
        &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
    required(&at.get("path"), e);
    relative_not_reserved(&at.get("path"), e);
    let (object, resource) = (at.get("fieldRef"), at.get("resourceFieldRef"));
    match (object.is_set(), resource.is_set()) {
        (true, both) => {
            field_ref(&object, PATHS, e);
            if both {
                let says = "fieldRef and resourceFieldRef can not be specified simultaneously";
                e.invalid_as(&at.path, "resource", says);
            }
        }
        (false, true) => resource_field_ref(&resource, true, e),
        (false, false) => e.required(&at.path, "one of fieldRef and resourceFieldRef is required"),
    }
    mode(&at.get("mode"), e);
    user(&at.get("user"), e);
}

fn projected(at: &At<'_>, e: &mut Errors) {
    mode(&at.get("defaultMode"), e);
    user(&at.get("defaultUser"), e);
    let mut paths = Paths { at: at.path.clone(), seen: BTreeSet::new() };
    for source in at.get("sources").items() {
        let mut count = 0;
        for (name, rules) in PROJECTIONS {
            let found = source.get(name);
            if found.is_set() {
                count += 1;
                rules(&found, &mut paths, e);
            }
        }
        if count > 1 {
            e.forbidden(&source.path, "may not specify more than 1 volume type per source");
        }
    }
}

/// Files that the sources of one volume make.
struct Paths<'a> {
    at: Path,
    seen: BTreeSet<&'a str>,
}

impl<'a> Paths<'a> {
    fn add(&mut self, file: &At<'a>, shown: &str, e: &mut Errors) {
        if !file.is_empty() && !self.seen.insert(file.str()) {
            e.invalid_as(&self.at, shown, "conflicting duplicate paths");
        }
    }
}

type Projection = (&'static str, for<'a> fn(&At<'a>, &mut Paths<'a>, &mut Errors));

const PROJECTIONS: &[Projection] = &[
    ("secret", projected_keys),
    ("configMap", projected_keys),
    ("downwardAPI", projected_downward),
    ("serviceAccountToken", projected_token),
    ("clusterTrustBundle", projected_bundle),
    ("podCertificate", projected_certificate),
];

fn projected_keys<'a>(at: &At<'a>, paths: &mut Paths<'a>, e: &mut Errors) {
    required(&at.get("name"), e);
    for item in at.get("items").items() {
        key_to_path(&item, e);
        paths.add(&item.get("path"), at.get("name").str(), e);
    }
}

fn projected_downward<'a>(at: &At<'a>, paths: &mut Paths<'a>, e: &mut Errors) {
    for file in at.get("items").items() {
        downward_file(&file.under(at.path.clone()), e);
        let path = file.get("path");
        paths.add(&path, path.str(), e);
    }
}

fn projected_token<'a>(at: &At<'a>, paths: &mut Paths<'a>, e: &mut Errors) {
    let seconds = at.get("expirationSeconds");
    match seconds.opt_int() {
        None => e.required(&seconds.path, ""),
        Some(n) if n < 600 => e.invalid(&seconds, "may not specify a duration less than 10 minutes"),
        Some(n) if n > 1 << 32 => e.invalid(&seconds, "may not specify a duration larger than 2^32 seconds"),
        Some(_) => {}
    }
    let path = at.get("path").under(paths.at.child("path"));
    if required(&path, e) {
        relative_not_reserved(&path, e);
    }
    user(&at.get("user"), e);
}

fn projected_bundle<'a>(at: &At<'a>, paths: &mut Paths<'a>, e: &mut Errors) {
    let (name, signer) = (at.get("name"), at.get("signerName"));
    match (name.is_set(), signer.is_set()) {
        (true, true) => e.invalid(at, "only one of name and signerName may be used"),
        (true, false) => {
            if name.is_empty() {
                e.required(&name.path, "must be a valid object name");
            }
            if at.get("labelSelector").is_set() {
                e.invalid(&at.get("labelSelector"), "labelSelector must be unset if name is specified");
            }
        }
        (false, true) => {
            if signer.is_empty() {
                e.required(&signer.path, "must be a valid signer name");
            }
            metadata::selector(&at.get("labelSelector"), true, e);
        }
        (false, false) => e.required(&at.path, "either name or signerName must be specified"),
    }
    let path = at.get("path");
    required(&path, e);
    user(&at.get("user"), e);
    relative_not_reserved(&path, e);
    paths.add(&path, path.str(), e);
}

fn projected_certificate<'a>(at: &At<'a>, paths: &mut Paths<'a>, e: &mut Errors) {
    required(&at.get("signerName"), e);
    user(&at.get("user"), e);
    let keys = ["RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"];
    e.one_of(&at.get("keyType"), &keys);
    let seconds = at.get("maxExpirationSeconds");
    if seconds.opt_int().is_some_and(|n| n < 3600) {
        e.invalid(&seconds, "if provided, maxExpirationSeconds must be >= 3600");
    }
    let mut count = 0;
    for name in ["credentialBundlePath", "keyPath", "certificateChainPath"] {
        let path = at.get(name);
        if !path.is_empty() {
            count += 1;
            relative_not_reserved(&path, e);
            paths.add(&path, path.str(), e);
        }
    }
    if count == 0 {
        let says = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath";
        e.required(&at.path, says);
    }
}

fn csi(at: &At<'_>, e: &mut Errors) {
    driver(&at.get("driver"), e);
    let secret = at.get("nodePublishSecretRef");
    if secret.is_set() && secret.get("name").is_empty() {
        e.required(&secret.get("name").path, "");
    }
}

/// The name of a CSI driver.
pub(in crate::kinds) fn driver(at: &At<'_>, e: &mut Errors) {
    if !required(at, e) {
        return;
    }
    if at.str().len() > 63 {
        e.too_long(&at.path, 63);
    }
    e.invalid_each(at, dns1123_subdomain(&at.str().to_lowercase()));
}

fn ephemeral(at: &At<'_>, e: &mut Errors) {
    let template = at.get("volumeClaimTemplate");
    if !template.is_set() {
        e.required(&template.path, "");
        return;
    }
    metadata::labels(&template.get("metadata.labels"), e);
    metadata::annotations(&template.get("metadata.annotations"), e);
    claim(&template.get("spec"), e);
}

/// The spec of a PersistentVolumeClaim.
pub(in crate::kinds) fn claim(at: &At<'_>, e: &mut Errors) {
    let modes = at.get("accessModes");
    if modes.is_empty() {
        e.required(&modes.path, "at least 1 access mode is required");
    }
    metadata::selector(&at.get("selector"), true, e);
    let known_modes = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
    let (mut single, mut other) = (false, false);
    for mode in modes.items() {
        e.one_of(&mode.under(modes.path.clone()), &known_modes);
        single |= mode.is("ReadWriteOncePod");
        other |= !mode.is("ReadWriteOncePod");
    }
    if single && other {
        e.forbidden(&modes.path, "may not use ReadWriteOncePod with other access modes");
    }
    let storage = at.get("resources.requests.storage").under(at.path.child("resources").key("storage"));
    if !storage.is_set() {
        e.required(&storage.path, "");
    } else if quantity(&storage) <= crate::quantity::Quantity::ZERO {
        e.invalid(&storage, "must be greater than zero");
    }
    let class = at.get("storageClassName");
    if !class.is_empty() {
        e.invalid_each(&class, dns1123_subdomain(class.str()));
    }
    let mode = at.get("volumeMode");
    if mode.is_set() {
        e.one_of(&mode, &["Block", "Filesystem"]);
    }
}

fn image(at: &At<'_>, e: &mut Errors) {
    required(&at.get("reference"), e);
    known(&at.get("pullPolicy"), &["Always", "IfNotPresent", "Never"], e);
}
