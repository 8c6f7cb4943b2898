//! Bodies: what is read of a request, within bounds, and what is sent.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming, SizeHint};

/// Most bytes of a request's body: upstream's limit for an object.
pub const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// A request's body.
#[derive(Debug)]
pub enum RequestBody {
    /// From the network.
    Wire(Incoming),
    /// From this process.
    Held(Bytes),
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// More than [`BODY_LIMIT`].
    #[error("limit is {BODY_LIMIT}")]
    TooLarge,
    /// The connection failed.
    #[error("the request's body could not be read: {0}")]
    Broken(String),
}

impl RequestBody {
    /// Reads all of it.
    pub async fn read(self) -> Result<Bytes, ReadError> {
        let mut body = match self {
            Self::Held(bytes) if bytes.len() > BODY_LIMIT => return Err(ReadError::TooLarge),
            Self::Held(bytes) => return Ok(bytes),
            Self::Wire(body) => body,
        };
        let mut first = Bytes::new();
        let mut all = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| ReadError::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            if first.len() + all.len() + data.len() > BODY_LIMIT {
                return Err(ReadError::TooLarge);
            }
            if first.is_empty() && all.is_empty() {
                first = data;
                continue;
            }
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&data);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }
}

/// A stream that ends before its time: the connection is cut, so that the client sees it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyError(pub String);

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

/// A response's body.
#[derive(Default)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// All of it.
    Full(Bytes),
    /// Piece by piece.
    Stream(Chunks),
}

impl Body {
    /// A body of pieces that are made when they are needed.
    pub fn stream(chunks: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Self {
        Self::Stream(Box::pin(chunks))
    }

    /// Reads all of it: for tests and for clients in this process.
    pub async fn collect(self) -> Result<Bytes, BodyError> {
        Ok(http_body_util::BodyExt::collect(self).await?.to_bytes())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::take(&mut *self) {
                Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Stream(chunks) => {
                chunks.as_mut().poll_next(context).map(|next| next.map(|chunk| chunk.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_beyond_the_limit_is_refused() {
        let body = RequestBody::Held(Bytes::from(vec![b' '; BODY_LIMIT + 1]));
        assert!(matches!(body.read().await, Err(ReadError::TooLarge)));
        let body = RequestBody::Held(Bytes::from_static(b"{}"));
        assert_eq!(body.read().await.expect("short").len(), 2);
    }

    #[tokio::test]
    async fn a_stream_is_read_to_its_end_and_its_error_is_told() {
        let chunk = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
        let body = Body::stream(futures::stream::iter([chunk("a"), chunk("b")]));
        assert_eq!(body.collect().await.expect("whole"), "ab");
        let body = Body::stream(futures::stream::iter([chunk("a"), Err(BodyError("cut".to_owned()))]));
        assert_eq!(body.collect().await.expect_err("cut").to_string(), "cut");
    }
}
