//! The sandbox's image: a program of 36 instructions' bytes that waits for ever and leaves no
//! dead children behind. Made here, so that a cluster comes up without any registry.

use base::ids::hex;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The image's name; the runtime is configured to use it for sandboxes.
pub(crate) const NAME: &str = "cluster.internal/pause:1";

/// rt_sigaction(SIGCHLD, ignore), then pause() again and again.
#[cfg(target_arch = "x86_64")]
const CODE: &[u8] = &[
    0xb8, 13, 0, 0, 0, // mov eax, rt_sigaction
    0xbf, 17, 0, 0, 0, // mov edi, SIGCHLD
    0x48, 0x8d, 0x35, 0x13, 0, 0, 0, // lea rsi, [action]
    0x31, 0xd2, // xor edx, edx
    0x41, 0xba, 8, 0, 0, 0, // mov r10d, 8
    0x0f, 0x05, // syscall
    0xb8, 34, 0, 0, 0, // mov eax, pause
    0x0f, 0x05, // syscall
    0xeb, 0xf7, // jmp to mov
    1, 0, 0, 0, 0, 0, 0, 0, // action: SIG_IGN
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];
/// The same for aarch64: rt_sigaction, then ppoll of nothing.
#[cfg(target_arch = "aarch64")]
const CODE: &[u8] = &[
    0x20, 0x02, 0x80, 0xd2, // mov x0, SIGCHLD
    0x61, 0x01, 0x00, 0x10, // adr x1, action
    0x02, 0x00, 0x80, 0xd2, // mov x2, 0
    0x03, 0x01, 0x80, 0xd2, // mov x3, 8
    0xc8, 0x10, 0x80, 0xd2, // mov x8, rt_sigaction
    0x01, 0x00, 0x00, 0xd4, // svc 0
    0x00, 0x00, 0x80, 0xd2, // mov x0, 0
    0x01, 0x00, 0x80, 0xd2, // mov x1, 0
    0x02, 0x00, 0x80, 0xd2, // mov x2, 0
    0x28, 0x09, 0x80, 0xd2, // mov x8, ppoll
    0x01, 0x00, 0x00, 0xd4, // svc 0
    0xfb, 0xff, 0xff, 0x17, // b to mov x0
    1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

const MACHINE: u8 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
/// Where the program is loaded; its header and one segment's are before the code.
const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// The program: an ELF file of one segment.
fn program() -> Vec<u8> {
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let size = HEADERS + CODE.len() as u64;
    let half = |elf: &mut Vec<u8>, values: &[u16]| values.iter().for_each(|v| elf.extend(v.to_le_bytes()));
    let word = |elf: &mut Vec<u8>, values: &[u32]| values.iter().for_each(|v| elf.extend(v.to_le_bytes()));
    let long = |elf: &mut Vec<u8>, values: &[u64]| values.iter().for_each(|v| elf.extend(v.to_le_bytes()));
    half(&mut elf, &[2, u16::from(MACHINE)]);
    word(&mut elf, &[1]);
    long(&mut elf, &[BASE + HEADERS, 64, 0]);
    word(&mut elf, &[0]);
    half(&mut elf, &[64, 56, 1, 64, 0, 0]);
    word(&mut elf, &[1, 5]);
    long(&mut elf, &[0, BASE, BASE, size, size, 0x1000]);
    elf.extend(CODE);
    elf
}

/// An archive of files.
fn tar(files: &[(&str, u32, &[u8])]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, mode, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        archive.append_data(&mut header, name, *content)?;
    }
    archive.into_inner()
}

/// The image as an OCI archive.
pub(crate) fn archive() -> std::io::Result<Vec<u8>> {
    let digest = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let layer = tar(&[("pause", 0o755, &program())])?;
    let config = json!({
        "architecture": ARCHITECTURE,
        "os": "linux",
        "config": {"Entrypoint": ["/pause"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest(&layer))]},
    })
    .to_string();
    let described = |media: &str, bytes: &[u8]| json!({"mediaType": media, "digest": format!("sha256:{}", digest(bytes)), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", &layer)],
    })
    .to_string();
    let mut entry = described("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    entry["annotations"] =
        json!({"io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": "1"});
    let index = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", digest(bytes));
    let (manifest_name, config_name, layer_name) =
        (blob(manifest.as_bytes()), blob(config.as_bytes()), blob(&layer));
    tar(&[
        ("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", 0o644, index.as_bytes()),
        (&manifest_name, 0o644, manifest.as_bytes()),
        (&config_name, 0o644, config.as_bytes()),
        (&layer_name, 0o644, &layer),
    ])
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_program_waits_until_it_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pause");
        std::fs::write(&path, program()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = Command::new(&path).spawn().unwrap();
        // It is asleep in its call, and not ended, once the kernel says so.
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
            stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
        };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while state() != Some('S') {
            assert!(
                std::time::Instant::now() < deadline && state() != Some('Z'),
                "it does not wait: {:?}",
                state()
            );
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
