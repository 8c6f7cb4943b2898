//! What each type and field of the Kubernetes API is for, in upstream's words: the prose of
//! OpenAPI documents and of `kubectl explain`.
//!
//! The texts are taken at build time from k8s-openapi's schemas into one compressed piece; the
//! program holds a hundred kilobytes until somebody asks. [`Descriptions::load`] unpacks them
//! (about a megabyte): drop it when the documents are made.

use std::fmt;
use std::io::Read;

const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.deflate"));

/// All descriptions, unpacked.
pub struct Descriptions {
    text: String,
    /// Where definition, field and description begin, and the entry ends.
    entries: Vec<[usize; 4]>,
}

impl Descriptions {
    /// Unpacks the descriptions; a few milliseconds.
    #[must_use]
    pub fn load() -> Self {
        let mut text = String::new();
        // The piece is part of the program, and a test unpacks it: what cannot be read is not there.
        if flate2::read::DeflateDecoder::new(PACKED).read_to_string(&mut text).is_err() {
            text.clear();
        }
        let ends: Vec<usize> =
            text.bytes().enumerate().filter(|(_, byte)| *byte == 0).map(|(at, _)| at).collect();
        let mut start = 0;
        let mut entries = Vec::with_capacity(ends.len() / 3);
        for end in ends.chunks_exact(3) {
            entries.push([start, end[0] + 1, end[1] + 1, end[2]]);
            start = end[2] + 1;
        }
        Self { text, entries }
    }

    /// The description of a definition (`io.k8s.api.core.v1.Pod`), or of a field of it where
    /// `field` is not empty.
    #[must_use]
    pub fn get(&self, definition: &str, field: &str) -> Option<&str> {
        let key =
            |entry: &[usize; 4]| (&self.text[entry[0]..entry[1] - 1], &self.text[entry[1]..entry[2] - 1]);
        let found = self.entries.binary_search_by(|entry| key(entry).cmp(&(definition, field))).ok()?;
        let [.., start, end] = self.entries[found];
        Some(&self.text[start..end])
    }
}

impl fmt::Debug for Descriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Descriptions({})", self.entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_fields_have_their_descriptions() {
        let all = Descriptions::load();
        assert!(all.entries.len() > 2700, "{}", all.entries.len());
        let pod = all.get("io.k8s.api.core.v1.Pod", "").unwrap_or_default();
        assert!(pod.starts_with("Pod is a collection of containers"), "{pod}");
        let replicas = all.get("io.k8s.api.apps.v1.DeploymentSpec", "replicas").unwrap_or_default();
        assert!(replicas.starts_with("Number of desired pods."), "{replicas}");
        assert_eq!(all.get("io.k8s.api.core.v1.Pod", "nothing"), None);
        assert!(PACKED.len() < 300_000, "{} bytes packed", PACKED.len());
    }
}
