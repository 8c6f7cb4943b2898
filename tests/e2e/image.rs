//! An image made here: a shell and the small tools of busybox, with no registry asked.

use std::path::Path;

use sha2::{Digest as _, Sha256};

/// The image's name.
pub(crate) const NAME: &str = "test.example/box:1";

/// Commands that busybox answers to.
const COMMANDS: &[&str] = &[
    "sh",
    "cat",
    "echo",
    "httpd",
    "nslookup",
    "sleep",
    "wget",
    "hostname",
    "true",
    "false",
    "dd",
    "sha256sum",
];

/// Where Debian's static busybox lies.
const BUSYBOX: &str = "/bin/busybox";

/// Whether what the image is made of is here; says why a test is skipped.
pub(crate) fn can_be_made() -> bool {
    if Path::new(BUSYBOX).exists() {
        return true;
    }
    println!("SKIPPED pods on machines: their image is made of {BUSYBOX} (package busybox-static)");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "in CI nothing is skipped");
    false
}

/// Writes the image's archive, in the form of `docker save`.
pub(crate) fn write(path: &Path) {
    let busybox = std::fs::read(BUSYBOX).expect("busybox-static is installed (scripts/setup, with CI=true)");
    let mut layer = tar::Builder::new(Vec::new());
    folder(&mut layer, "tmp", 0o1777);
    file(&mut layer, "bin/busybox", 0o755, &busybox);
    for command in COMMANDS {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        header.set_mode(0o777);
        layer.append_link(&mut header, format!("bin/{command}"), BUSYBOX).expect("a link");
    }
    let layer = layer.into_inner().expect("a layer");
    let digest: String = Sha256::digest(&layer).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"]}]);
    let mut archive = tar::Builder::new(Vec::new());
    file(&mut archive, "config.json", 0o644, config.to_string().as_bytes());
    file(&mut archive, "layer.tar", 0o644, &layer);
    file(&mut archive, "manifest.json", 0o644, manifest.to_string().as_bytes());
    std::fs::write(path, archive.into_inner().expect("an archive")).expect("the archive is written");
}

fn file(archive: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    archive.append_data(&mut header, name, content).expect("a file");
}

fn folder(archive: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_size(0);
    header.set_mode(mode);
    archive.append_data(&mut header, name, std::io::empty()).expect("a folder");
}
