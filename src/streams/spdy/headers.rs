//! Header blocks: pairs of names and values, compressed with one zlib stream per direction.

use std::collections::BTreeMap;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{SpdyError, dictionary};

/// Names (lower case) with their values. A name with several values has them in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(BTreeMap<String, Vec<String>>);

/// Most bytes of a block, decompressed.
pub const BLOCK_BYTES: usize = 64 * 1024;

impl Headers {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.0.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
        self
    }

    /// The first value of a name, whatever its case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase())?.first().map(String::as_str)
    }

    /// All pairs, in order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(name, values)| values.iter().map(move |value| (&**name, &**value)))
    }

    fn write(&self) -> Vec<u8> {
        let mut block = Vec::new();
        let mut put = |bytes: &[u8]| {
            block.extend_from_slice(&length(bytes.len()));
            block.extend_from_slice(bytes);
        };
        for (name, values) in &self.0 {
            put(name.as_bytes());
            put(values.join("\0").as_bytes());
        }
        let mut all = length(self.0.len()).to_vec();
        all.append(&mut block);
        all
    }

    fn read(block: &[u8]) -> Result<Self, SpdyError> {
        let mut rest = block;
        let count = number(&mut rest)?;
        let mut headers = Self::new();
        for _ in 0..count {
            let (name, values) = (text(&mut rest)?, text(&mut rest)?);
            if name.is_empty() {
                return Err(SpdyError::Headers("a header has no name"));
            }
            let values = values.split('\0').map(str::to_owned).collect();
            if headers.0.insert(name.to_ascii_lowercase(), values).is_some() {
                return Err(SpdyError::Headers("a header is there twice"));
            }
        }
        Ok(headers)
    }
}

fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap_or(u32::MAX).to_be_bytes()
}

fn number(rest: &mut &[u8]) -> Result<usize, SpdyError> {
    let (head, tail) = rest.split_first_chunk::<4>().ok_or(SpdyError::Headers("it ends too early"))?;
    *rest = tail;
    usize::try_from(u32::from_be_bytes(*head)).map_err(|_| SpdyError::Headers("a length is too large"))
}

fn text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, SpdyError> {
    let length = number(rest)?;
    let bytes = rest.get(..length).ok_or(SpdyError::Headers("it ends too early"))?;
    *rest = &rest[length..];
    std::str::from_utf8(bytes).map_err(|_| SpdyError::Headers("a header is no UTF-8"))
}

/// Compresses the blocks of one direction.
#[derive(Debug)]
pub struct Packer {
    zlib: Compress,
    begun: bool,
}

/// Decompresses the blocks of one direction.
#[derive(Debug)]
pub struct Unpacker {
    zlib: Decompress,
}

impl Default for Packer {
    fn default() -> Self {
        Self { zlib: Compress::new(Compression::best(), true), begun: false }
    }
}

impl Default for Unpacker {
    fn default() -> Self {
        Self { zlib: Decompress::new(true) }
    }
}

impl Packer {
    /// The block of these headers. Blocks must be sent in the order in which they are made.
    pub fn pack(&mut self, headers: &Headers) -> Result<Vec<u8>, SpdyError> {
        let broken = |_| SpdyError::Headers("it cannot be compressed");
        if !self.begun {
            self.zlib.set_dictionary(&dictionary::bytes()).map_err(broken)?;
            self.begun = true;
        }
        let block = headers.write();
        let mut packed = Vec::with_capacity(block.len() + 64);
        let begin = self.zlib.total_in();
        loop {
            let taken = usize::try_from(self.zlib.total_in() - begin).unwrap_or(usize::MAX);
            let rest = block.get(taken..).unwrap_or_default();
            self.zlib.compress_vec(rest, &mut packed, FlushCompress::Sync).map_err(broken)?;
            let all = self.zlib.total_in() - begin >= block.len() as u64;
            if all && packed.len() < packed.capacity() {
                return Ok(packed);
            }
            packed.reserve(256);
        }
    }
}

impl Unpacker {
    /// The headers of a block. Blocks must come in the order in which they were sent.
    pub fn unpack(&mut self, packed: &[u8]) -> Result<Headers, SpdyError> {
        let mut block = Vec::with_capacity(packed.len().saturating_mul(4).clamp(256, BLOCK_BYTES));
        let mut rest = packed;
        loop {
            let before = (self.zlib.total_in(), self.zlib.total_out());
            match self.zlib.decompress_vec(rest, &mut block, FlushDecompress::Sync) {
                Ok(Status::StreamEnd) => return Err(SpdyError::Headers("its compression has ended")),
                Ok(Status::Ok | Status::BufError) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    let set = self.zlib.set_dictionary(&dictionary::bytes());
                    set.map_err(|_| SpdyError::Headers("it was compressed with another dictionary"))?;
                }
                Err(_) => return Err(SpdyError::Headers("it does not decompress")),
            }
            let taken = usize::try_from(self.zlib.total_in() - before.0).unwrap_or(usize::MAX);
            rest = rest.get(taken..).unwrap_or_default();
            let full = block.len() == block.capacity();
            if rest.is_empty() && !full {
                return Headers::read(&block);
            }
            if full {
                if block.len() >= BLOCK_BYTES {
                    return Err(SpdyError::Headers("it is larger than 64 KiB"));
                }
                block.reserve(block.len().min(BLOCK_BYTES - block.len()).max(1));
            } else if before == (self.zlib.total_in(), self.zlib.total_out()) {
                return Err(SpdyError::Headers("it ends in the middle"));
            }
        }
    }
}
