//! The tunnel to other nodes, and how the runtime connects pods.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;

use proxy::peers::{self, DEVICE, Peer};
use serde_json::json;

use crate::tool::{ToolError, run};

/// The tunnel's number and port.
const VNI: &str = "4242";
const PORT: &str = "8472";
/// What a tunnel takes of each packet.
const OVERHEAD: u32 = 50;

/// The link that holds an address, and the size of its packets.
async fn uplink(address: Ipv4Addr) -> Result<(String, u32), ToolError> {
    let text = run("ip", &["-json", "-4", "address", "show", "to", &address.to_string()], "").await?;
    let links: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let link = &links[0];
    let name = link["ifname"].as_str().unwrap_or_default().to_owned();
    Ok((name, link["mtu"].as_u64().and_then(|mtu| u32::try_from(mtu).ok()).unwrap_or(1500)))
}

/// Makes the tunnel's end on this node, or puts it right; gives the size of pods' packets.
pub(crate) async fn tunnel(own: &Peer) -> Result<u32, ToolError> {
    let (_, mtu) = uplink(own.address).await?;
    let mtu = mtu - OVERHEAD;
    let hardware = own.hardware();
    let there = run("ip", &["-details", "link", "show", DEVICE], "").await.unwrap_or_default();
    let right = there.contains(&format!("local {}", own.address)) && there.contains(&hardware);
    if !right {
        if !there.is_empty() {
            run("ip", &["link", "del", DEVICE], "").await?;
        }
        let address = own.address.to_string();
        let add = [
            "link",
            "add",
            DEVICE,
            "address",
            &hardware,
            "type",
            "vxlan",
            "id",
            VNI,
            "dstport",
            PORT,
            "local",
            &address,
            "nolearning",
        ];
        run("ip", &add, "").await?;
    }
    let settings = format!("link set {DEVICE} mtu {mtu} up\naddress replace {}/32 dev {DEVICE}\n", own.end());
    run("ip", &["-batch", "-"], &settings).await?;
    Ok(mtu)
}

/// Brings the routes to other nodes' pods up to date. What is gone already is no error.
pub(crate) async fn routes(
    from: &BTreeMap<String, Peer>,
    to: &BTreeMap<String, Peer>,
) -> Result<(), ToolError> {
    let (routes, bridge) = peers::change(from, to);
    if !bridge.is_empty() {
        run("bridge", &["-force", "-batch", "-"], &bridge).await.or_else(only_deletions)?;
    }
    if !routes.is_empty() {
        run("ip", &["-force", "-batch", "-"], &routes).await.or_else(only_deletions)?;
    }
    Ok(())
}

/// With `-force` the rest is done; what could not be deleted was not there.
fn only_deletions(error: ToolError) -> Result<String, ToolError> {
    let said = error.to_string();
    let missing = ["No such", "not found", "Cannot find"];
    let lines = said.lines().filter(|line| !line.contains("Command failed"));
    if lines.clone().all(|line| missing.iter().any(|words| line.contains(words))) {
        Ok(String::new())
    } else {
        Err(error)
    }
}

/// Writes how the runtime connects pods: a link of its own for each, with an address of this node's range.
pub(crate) fn plugins(folder: &Path, pods: &str, mtu: u32) -> io::Result<()> {
    let list = json!({
        "cniVersion": "0.4.0",
        "name": "cluster",
        "plugins": [
            {
                "type": "ptp",
                "mtu": mtu,
                "ipMasq": false,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true},
        ],
    });
    let text = format!("{list:#}\n");
    let file = folder.join("10-cluster.conflist");
    if std::fs::read_to_string(&file).is_ok_and(|there| there == text) {
        return Ok(());
    }
    std::fs::create_dir_all(folder)?;
    let beside = folder.join(".10-cluster.new");
    std::fs::write(&beside, text)?;
    std::fs::rename(beside, file)
}
