//! The looked-up part of a cluster: image, zones, types, access. All of it is read before anything is bought.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cloud::{Architecture, Cloud, Image, ImageQuery, InstanceType};
use plan::config::{self, Config, ImageSource};
use plan::planner::{Desired, Resolved};
use provision::bootstrap::NodeBinary;

use super::access::{self, Access};
use super::context::Context;

/// A cluster as it should be, with what was looked up for it.
pub(crate) struct Target {
    /// What should be.
    pub(crate) desired: Desired,
    /// The image of new machines.
    pub(crate) image: Image,
    /// Who may reach what.
    pub(crate) access: Access,
    /// What goes onto the nodes.
    pub(crate) binary: NodeBinary,
    /// What could not be checked, and why.
    pub(crate) unchecked: Vec<String>,
}

impl Target {
    /// Looks everything up.
    pub(crate) async fn find(
        context: &Context,
        config: &Config,
        node_binary: Option<&Path>,
        uid: &str,
        public_key: &str,
    ) -> anyhow::Result<Self> {
        let architecture = architecture(config.image.architecture);
        let binary = NodeBinary::locate(architecture, node_binary, &this_program()?)?;
        let cloud = &*context.cloud;
        let (access, image, zones, types) = tokio::try_join!(
            access::resolve(config, context.endpoint.as_deref()),
            image(cloud, config),
            offered_zones(cloud),
            types(cloud, config),
        )?;
        let resolved = Resolved {
            uid: uid.to_owned(),
            image: image.id.clone(),
            root_device: image.root_device.clone(),
            offered_zones: zones,
            ssh: access.ssh.clone(),
            api: access.api.clone(),
            services: access.services.clone(),
            // Without one a machine could fetch neither packages nor images.
            public_addresses: true,
            public_key: public_key.to_owned(),
        };
        let desired = Desired::new(config, &resolved).context("network.zones")?;
        let mut unchecked = Vec::new();
        check_volumes(&desired, &image)?;
        check_types(&desired, &types, architecture, &mut unchecked)?;
        Ok(Self { desired, image, access, binary, unchecked })
    }
}

/// The file this program runs from; where it was replaced meanwhile, what the kernel still holds of it.
fn this_program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    Ok(if path.exists() { path } else { PathBuf::from("/proc/self/exe") })
}

fn architecture(word: config::Architecture) -> Architecture {
    match word {
        config::Architecture::X86_64 => Architecture::X86_64,
        config::Architecture::Arm64 => Architecture::Arm64,
    }
}

fn word(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Arm64 => "arm64",
    }
}

async fn image(cloud: &dyn Cloud, config: &Config) -> anyhow::Result<Image> {
    let wanted = architecture(config.image.architecture);
    let (query, words) = match &config.image.source {
        ImageSource::Id { id } => (ImageQuery::Id(id.clone()), format!("image.id: {id}")),
        ImageSource::Newest { owner, name } => (
            ImageQuery::Newest { owner: owner.clone(), name: name.clone(), architecture: wanted },
            format!("image.name: {name} of owner {owner}"),
        ),
    };
    let Some(image) = cloud.image(&query).await? else {
        bail!(
            "{words} ({}) does not exist in this region; correct image in cluster.yaml",
            config.image.architecture.as_str()
        );
    };
    if image.architecture != wanted {
        bail!(
            "image.architecture: {} is made for {}, not for {}; correct image in cluster.yaml",
            image.id,
            word(image.architecture),
            config.image.architecture.as_str()
        );
    }
    Ok(image)
}

async fn offered_zones(cloud: &dyn Cloud) -> anyhow::Result<Vec<String>> {
    let zones = cloud.zones().await?;
    Ok(zones.into_iter().filter(|zone| zone.available).map(|zone| zone.name).collect())
}

async fn types(cloud: &dyn Cloud, config: &Config) -> anyhow::Result<Vec<InstanceType>> {
    let names: BTreeSet<String> = config.instance_types().into_iter().map(str::to_owned).collect();
    Ok(cloud.instance_types(&names).await?)
}

fn check_volumes(desired: &Desired, image: &Image) -> anyhow::Result<()> {
    for node in &desired.nodes {
        if node.volume_gib < image.root_gib {
            bail!(
                "{}.volume.sizeGiB: {} is less than the {} GiB that {} needs",
                node.field,
                node.volume_gib,
                image.root_gib,
                image.id
            );
        }
    }
    Ok(())
}

fn check_types(
    desired: &Desired,
    types: &[InstanceType],
    architecture: Architecture,
    unchecked: &mut Vec<String>,
) -> anyhow::Result<()> {
    for node in &desired.nodes {
        let Some(found) = types.iter().find(|found| found.name == node.instance_type) else {
            bail!(
                "{}.type: {} does not exist in this region; correct it in cluster.yaml",
                node.field,
                node.instance_type
            );
        };
        if !found.architectures.contains(&architecture) {
            bail!("{}.type: {} cannot run the image's architecture", node.field, node.instance_type);
        }
        if found.zones.is_empty() {
            let words = format!("whether {} is offered in {} (AWS did not tell)", found.name, node.zone);
            if !unchecked.contains(&words) {
                unchecked.push(words);
            }
        } else if !found.zones.contains(&node.zone) {
            let zones: Vec<&str> = found.zones.iter().map(String::as_str).collect();
            bail!(
                "{}.type: {} is not offered in {}, but in {}; choose another type or zones",
                node.field,
                found.name,
                node.zone,
                zones.join(", ")
            );
        }
    }
    Ok(())
}
