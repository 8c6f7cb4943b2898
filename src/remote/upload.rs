//! Writing a file on a machine: whole or not at all, and fast.
//!
//! Owns the script that receives it. The content goes through a command's standard
//! input (SFTP keeps too little in flight to fill a link), into a temporary file beside
//! the destination; its size is compared before it is synced and renamed, since a
//! connection that breaks looks like the end of the content.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;

use crate::exec::{Input, execute};
use crate::wire::{Halt, Scope, Wire};
use crate::{Output, Progress, RemoteError, Upload};

const RECEIVE: &str = r#"set -eu
umask 077
tmp=$(mktemp "$1.XXXXXXXX")
trap 'rm -f "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
trap '' PIPE
cat >"$tmp"
got=$(stat -c %s "$tmp")
if [ "$got" != "$3" ]; then echo "received $got of $3 bytes" >&2; exit 74; fi
chmod "$2" "$tmp"
sync "$tmp"
mv -fT "$tmp" "$1"
sync "$(dirname "$1")"
trap - EXIT"#;

/// Output kept of the receiving script: it says a line at most.
const SAID: usize = 16 * 1024;

/// An open content and its size.
pub(crate) struct Content {
    input: Input,
    bytes: u64,
}

/// Opens what is to be sent.
pub(crate) fn content(upload: Upload, progress: Option<Progress>) -> Result<Content, RemoteError> {
    let (from, bytes): (Box<dyn std::io::Read + Send>, u64) = match upload {
        Upload::Bytes(bytes) => {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            (Box::new(Cursor::new(bytes)), size)
        }
        Upload::File(path) => {
            let (file, size) = open(&path)?;
            (Box::new(file), size)
        }
    };
    let progress = progress.map(|hear| Box::new(move |sent| hear(sent, bytes)) as Box<dyn FnMut(u64) + Send>);
    Ok(Content { input: Input { from, progress }, bytes })
}

fn open(path: &Path) -> Result<(File, u64), RemoteError> {
    let failed = |error| RemoteError::local("read", path, error);
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    Ok((file, size))
}

/// Sends `content` to `path` there. A status other than 0 is in the output.
pub(crate) fn send(
    wire: &Wire,
    scope: &Scope<'_>,
    content: Content,
    path: &str,
    mode: u32,
) -> Result<Output, Halt> {
    let script = receiver(path, mode, content.bytes);
    execute(wire, scope, &script, content.input, SAID)
}

/// The command line of the receiving side, as root (through sudo where we are not).
fn receiver(path: &str, mode: u32, bytes: u64) -> String {
    let script = quote(RECEIVE);
    let path = quote(path);
    format!(
        "if [ \"$(id -u)\" = 0 ]; then set --; else set -- sudo -n; fi; \
         exec \"$@\" sh -c {script} upload {path} {mode:04o} {bytes}"
    )
}

/// One word of a POSIX shell, whatever it holds.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
