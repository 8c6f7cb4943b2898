//! The images this EC2 offers and the disks behind them.
//!
//! One table: `machines amis` prints it for LocalStack (MOTO_AMIS_PATH), the
//! daemon reads off it which layers a machine's disk stands on. The layers are
//! made by `localstack/images`.

use serde_json::{Value, json};

/// The account that owns Debian's own images on AWS.
pub(crate) const DEBIAN_OWNER: &str = "136693071363";

/// Debian 12 as on AWS.
pub(crate) const PLAIN: &str = "ami-0deb12a3d64000001";
/// Debian 12 with containerd, etcd and the node's other packages installed.
pub(crate) const TOOLS: &str = "ami-0deb12a3d64000002";
/// Debian 12 for arm64: listed, as AWS lists it, but nothing here can run it.
pub(crate) const ARM: &str = "ami-0deb12a4264000001";

/// An image and its disk.
struct Image {
    id: &'static str,
    name: &'static str,
    architecture: &'static str,
    created: &'static str,
    description: &'static str,
    /// Folders below the image cache, topmost first; empty: no body.
    layers: &'static [&'static str],
}

const IMAGES: &[Image] = &[
    Image {
        id: PLAIN,
        name: "debian-12-amd64-20260901-2222",
        architecture: "x86_64",
        created: "2026-09-01T22:22:00.000Z",
        description: "Debian 12 (20260901-2222)",
        layers: &["base"],
    },
    Image {
        id: TOOLS,
        name: "cluster-debian-12-amd64-20260901",
        architecture: "x86_64",
        created: "2026-09-01T23:00:00.000Z",
        description: "Debian 12 with containerd and etcd installed",
        layers: &["tools", "base"],
    },
    Image {
        id: ARM,
        name: "debian-12-arm64-20260901-2222",
        architecture: "arm64",
        created: "2026-09-01T22:22:00.000Z",
        description: "Debian 12 (20260901-2222)",
        layers: &[],
    },
];

/// The layers of an image's disk, topmost first.
///
/// # Errors
/// Says why no machine can be made of it.
pub(crate) fn layers(image: &str) -> Result<&'static [&'static str], String> {
    match IMAGES.iter().find(|known| known.id == image) {
        None => Err(format!("image {image} has no disk here; `machines amis` lists those that do")),
        Some(known) if known.layers.is_empty() => {
            Err(format!("image {} is for {}, which this host cannot run", known.name, known.architecture))
        }
        Some(known) => Ok(known.layers),
    }
}

/// The table in the form MOTO_AMIS_PATH wants.
pub(crate) fn amis() -> Value {
    IMAGES
        .iter()
        .map(|image| {
            json!({
                "ami_id": image.id,
                "name": image.name,
                "description": image.description,
                "architecture": image.architecture,
                "creation_date": image.created,
                "owner_id": DEBIAN_OWNER,
                "image_location": format!("amazon/{}", image.name),
                "image_type": "machine",
                "hypervisor": "xen",
                "platform": null,
                "public": true,
                "root_device_name": "/dev/xvda",
                "root_device_type": "ebs",
                "sriov": "simple",
                "state": "available",
                "virtualization_type": "hvm",
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_disk_is_refused_with_the_reason() {
        assert_eq!(layers(TOOLS), Ok(&["tools", "base"][..]));
        assert!(layers(ARM).unwrap_err().contains("arm64"));
        assert!(layers("ami-1").unwrap_err().contains("no disk"));
    }

    #[test]
    fn every_listed_image_is_owned_by_debian_and_only_one_amd64_has_debians_name() {
        let amis = amis();
        let rows = amis.as_array().unwrap();
        assert!(rows.iter().all(|row| row["owner_id"] == DEBIAN_OWNER));
        let plain = rows.iter().filter(|row| row["name"].as_str().unwrap().starts_with("debian-12-amd64-"));
        assert_eq!(plain.count(), 1);
    }
}
