//! The binary that goes onto the nodes: this one if it fits, else one beside it, else one named.
//!
//! It fits if it is a static ELF file for the nodes' architecture. That is known
//! before anything is bought.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use base::ids::hex;
use bytes::Bytes;
use cloud::Architecture;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

const ELF_MAGIC: &[u8] = b"\x7fELF";
const MACHINE_X86_64: u16 = 62;
const MACHINE_AARCH64: u16 = 183;
const SEGMENT_INTERP: u32 = 3;

/// A binary for the nodes.
#[derive(Debug, Clone)]
pub struct NodeBinary {
    /// Where it was found.
    pub path: PathBuf,
    /// SHA-256, hexadecimal.
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
}

/// Why there is no binary for the nodes.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// The one that was named does not fit.
    #[error(
        "{path}: {reason}; --node-binary takes a static Linux binary for {architecture}, as `make dist` builds it"
    )]
    Unfit {
        /// The path given.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// The nodes' architecture.
        architecture: &'static str,
    },
    /// None fits.
    #[error(
        "no static binary for {architecture} nodes: {tried}; build one with `make dist` and name it with --node-binary PATH"
    )]
    NotFound {
        /// The nodes' architecture.
        architecture: &'static str,
        /// Each place looked at, and what was wrong there.
        tried: String,
    },
}

impl NodeBinary {
    /// Finds the binary for nodes of `architecture`: `named`, or else `own`
    /// (the running program), or else `cluster-linux-ARCH` beside it.
    ///
    /// # Errors
    /// None fits; each place is named with the reason.
    pub fn locate(architecture: Architecture, named: Option<&Path>, own: &Path) -> Result<Self, BinaryError> {
        let word = architecture_word(architecture);
        if let Some(path) = named {
            return read_fitting(path, architecture).map_err(|reason| BinaryError::Unfit {
                path: path.to_owned(),
                reason,
                architecture: word,
            });
        }
        let mut tried = Vec::new();
        for path in [own.to_owned(), own.with_file_name(format!("cluster-linux-{word}"))] {
            match read_fitting(&path, architecture) {
                Ok(found) => return Ok(found),
                Err(reason) => tried.push(format!("{}: {reason}", path.display())),
            }
        }
        Err(BinaryError::NotFound { architecture: word, tried: tried.join("; ") })
    }

    /// The whole binary, gzip-compressed for the way there.
    ///
    /// # Errors
    /// It cannot be read, or has changed since it was located.
    pub fn compressed(&self) -> std::io::Result<Bytes> {
        let content = std::fs::read(&self.path)?;
        if hex(&Sha256::digest(&content)) != self.digest {
            return Err(std::io::Error::other("it changed while it was being used; run the command again"));
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&content)?;
        Ok(encoder.finish()?.into())
    }
}

fn architecture_word(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Arm64 => "arm64",
    }
}

fn read_fitting(path: &Path, architecture: Architecture) -> Result<NodeBinary, String> {
    let content = std::fs::read(path).map_err(|error| error.to_string())?;
    fits(&content, architecture)?;
    Ok(NodeBinary {
        path: path.to_owned(),
        digest: hex(&Sha256::digest(&content)),
        size: u64::try_from(content.len()).unwrap_or(u64::MAX),
    })
}

/// Whether `content` is a static 64-bit Linux binary for `architecture`.
fn fits(content: &[u8], architecture: Architecture) -> Result<(), String> {
    if !content.starts_with(ELF_MAGIC) {
        return Err("not a Linux binary".to_owned());
    }
    let wanted = match architecture {
        Architecture::X86_64 => MACHINE_X86_64,
        Architecture::Arm64 => MACHINE_AARCH64,
    };
    let machine = u16_at(content, 18);
    if content.get(4) != Some(&2) || machine != Some(wanted) {
        return Err(format!("built for another architecture than {}", architecture_word(architecture)));
    }
    match needs_interpreter(content) {
        Some(false) => Ok(()),
        Some(true) => Err("dynamically linked: nodes may lack its libraries".to_owned()),
        None => Err("a damaged ELF file".to_owned()),
    }
}

/// Whether a program header asks for a dynamic linker. `None`: the headers are damaged.
fn needs_interpreter(content: &[u8]) -> Option<bool> {
    let table = usize::try_from(u64::from_le_bytes(array_at(content, 32)?)).ok()?;
    let size = usize::from(u16_at(content, 54)?);
    let count = usize::from(u16_at(content, 56)?);
    for index in 0..count {
        let header = table.checked_add(index.checked_mul(size)?)?;
        if u32::from_le_bytes(array_at(content, header)?) == SEGMENT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

fn u16_at(content: &[u8], at: usize) -> Option<u16> {
    array_at(content, at).map(u16::from_le_bytes)
}

fn array_at<const N: usize>(content: &[u8], at: usize) -> Option<[u8; N]> {
    content.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// An ELF header with one program header of `segment`.
    fn elf(machine: u16, segment: u32) -> Vec<u8> {
        let mut content = vec![0_u8; 64 + 56];
        content[..4].copy_from_slice(ELF_MAGIC);
        content[4] = 2;
        content[18..20].copy_from_slice(&machine.to_le_bytes());
        content[32..40].copy_from_slice(&64_u64.to_le_bytes());
        content[54..56].copy_from_slice(&56_u16.to_le_bytes());
        content[56..58].copy_from_slice(&1_u16.to_le_bytes());
        content[64..68].copy_from_slice(&segment.to_le_bytes());
        content
    }

    #[test]
    fn a_static_binary_of_the_right_architecture_fits() {
        assert_eq!(fits(&elf(MACHINE_X86_64, 1), Architecture::X86_64), Ok(()));
        assert_eq!(fits(&elf(MACHINE_AARCH64, 1), Architecture::Arm64), Ok(()));
    }

    #[test]
    fn what_does_not_fit_says_why() {
        let why = |content: &[u8]| fits(content, Architecture::X86_64).unwrap_err();
        assert!(why(b"#!/bin/sh").contains("not a Linux binary"));
        assert!(why(&elf(MACHINE_AARCH64, 1)).contains("another architecture"));
        assert!(why(&elf(MACHINE_X86_64, SEGMENT_INTERP)).contains("dynamically linked"));
        assert!(why(&elf(MACHINE_X86_64, 1)[..40]).contains("damaged"));
    }

    #[test]
    fn the_program_that_runs_these_tests_is_static_itself() {
        let own = std::env::current_exe().unwrap();
        let architecture =
            if cfg!(target_arch = "x86_64") { Architecture::X86_64 } else { Architecture::Arm64 };
        let found = NodeBinary::locate(architecture, None, &own).unwrap();
        assert_eq!(found.digest.len(), 64);
    }
}
