//! The state folder's secrets as the vault that bootstrap reads and writes.

use std::io;
use std::sync::Arc;

use provision::bootstrap::Vault;
use provision::state::{Folder, StateError, Store};

/// The digest of the binary that the last finished `up` put onto the nodes.
pub(crate) const APPLIED_BINARY: &str = "binary.sha256";

/// A vault over a locked state.
pub(crate) struct StoreVault(pub(crate) Arc<Store>);

/// A vault that only reads: for commands that take no lock.
pub(crate) struct FolderVault(pub(crate) Folder);

impl Vault for StoreVault {
    fn read(&self, name: &str) -> io::Result<Option<String>> {
        text(self.0.secret(&flat(name)))
    }

    fn write(&self, name: &str, content: &str) -> io::Result<()> {
        self.0.write_secret(&flat(name), content.as_bytes()).map_err(io::Error::other)
    }
}

impl Vault for FolderVault {
    fn read(&self, name: &str) -> io::Result<Option<String>> {
        text(self.0.secret(&flat(name)))
    }

    fn write(&self, name: &str, _: &str) -> io::Result<()> {
        Err(io::Error::other(format!("{name} would have to be made, which only `cluster up` does")))
    }
}

/// The folder is flat: `pki/master-0/node.crt` is the file `pki_master-0_node.crt`.
fn flat(name: &str) -> String {
    name.replace('/', "_")
}

fn text(bytes: Result<Option<Vec<u8>>, StateError>) -> io::Result<Option<String>> {
    match bytes {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => String::from_utf8(bytes).map(Some).map_err(io::Error::other),
        Err(error) => Err(io::Error::other(error)),
    }
}
