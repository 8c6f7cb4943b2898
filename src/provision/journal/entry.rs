//! The journal's lines, format 1: `{"journal":1,"nextSeq":N}`, then one [`Entry`] each.

use std::path::Path;

use cloud::Outcome;
use jiff::Timestamp;
use plan::model::Call;
use serde::{Deserialize, Serialize};

use super::JournalError;

/// The format this program writes.
pub const FORMAT: u64 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Which call: an intent's own number, repeated by what became of it.
    pub seq: u64,
    /// When, UTC.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub note: Note,
}

/// What a line says of its call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Note {
    /// It is about to be made. A launch's user-data and token are part of it.
    Intent {
        /// The call.
        intent: Call<String>,
    },
    /// It took effect.
    Done {
        /// What it gave back.
        done: Outcome,
    },
    /// It failed.
    Failed {
        /// Why.
        failed: String,
        /// It may have taken effect all the same.
        #[serde(default)]
        unknown: bool,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    journal: u64,
    next_seq: u64,
}

/// What a journal's bytes say.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) next_seq: u64,
    pub(super) entries: Vec<Entry>,
    /// How many bytes of them were whole lines.
    pub(super) length: usize,
}

pub(super) fn header_line(next_seq: u64) -> Vec<u8> {
    format!("{{\"journal\":{FORMAT},\"nextSeq\":{next_seq}}}\n").into_bytes()
}

pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Parsed, JournalError> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate().peekable();
    let mut parsed = Parsed { next_seq: 1, entries: Vec::new(), length: 0 };
    while let Some((index, line)) = lines.next() {
        let last = lines.peek().is_none();
        if last && !line.ends_with(b"\n") {
            break; // torn: it was never synced, so the call it announces was never made
        }
        let read =
            if index == 0 { read_header(path, line, &mut parsed)? } else { read_entry(line, &mut parsed) };
        match read {
            Ok(()) => parsed.length += line.len(),
            Err(_) if last && index > 0 => break, // torn in the middle of a page
            Err(source) => {
                return Err(JournalError::Damaged { path: path.to_owned(), line: index + 1, source });
            }
        }
    }
    Ok(parsed)
}

fn read_header(
    path: &Path,
    line: &[u8],
    parsed: &mut Parsed,
) -> Result<serde_json::Result<()>, JournalError> {
    match serde_json::from_slice::<Header>(line) {
        Ok(header) if header.journal > FORMAT => {
            Err(JournalError::Newer { path: path.to_owned(), found: header.journal })
        }
        Ok(header) => {
            parsed.next_seq = header.next_seq;
            Ok(Ok(()))
        }
        Err(error) => Ok(Err(error)),
    }
}

fn read_entry(line: &[u8], parsed: &mut Parsed) -> serde_json::Result<()> {
    parsed.entries.push(serde_json::from_slice(line)?);
    Ok(())
}
