//! Logs of containers: files of lines, each with its time and stream, told as they were written.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode};
use jiff::Timestamp;

use crate::context::{Context, POD_UID};
use crate::cri::messages as m;
use crate::server::{Body, said, values};

/// How often a file that is followed is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Bytes read of a file at a time.
const PIECE: usize = 64 * 1024;

/// What of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq)]
struct Wanted {
    follow: bool,
    timestamps: bool,
    tail: Option<usize>,
    limit: Option<usize>,
    since: Option<Timestamp>,
}

impl Wanted {
    fn read(query: &str, now: Timestamp) -> Self {
        let one = |field: &str| values(query, field).into_iter().next();
        let flag = |field: &str| one(field).is_some_and(|value| matches!(value.as_str(), "true" | "1"));
        let number = |field: &str| one(field).and_then(|value| value.parse().ok());
        let seconds: Option<i64> = one("sinceSeconds").and_then(|value| value.parse().ok());
        let before = seconds.and_then(|seconds| Timestamp::from_second(now.as_second() - seconds).ok());
        Self {
            follow: flag("follow"),
            timestamps: flag("timestamps"),
            tail: number("tailLines"),
            limit: number("limitBytes"),
            since: before.or_else(|| one("sinceTime").and_then(|time| time.parse().ok())),
        }
    }

    /// A line as it is told; none where it is not wanted.
    fn told(&self, line: &str) -> Option<String> {
        let mut parts = line.splitn(4, ' ');
        let (time, _, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next().unwrap_or(""));
        if let Some(since) = self.since
            && time.parse::<Timestamp>().is_ok_and(|time| time < since)
        {
            return None;
        }
        // A part of a longer line goes on in the next.
        let end = if tag.starts_with('P') { "" } else { "\n" };
        Some(if self.timestamps { format!("{time} {text}{end}") } else { format!("{text}{end}") })
    }
}

impl Context {
    /// The newest container of a pod by its names, or the one before it.
    pub(crate) async fn find(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
    ) -> Result<String, String> {
        self.find_container(namespace, pod, container, previous).await.map(|found| found.id)
    }

    async fn find_container(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        previous: bool,
    ) -> Result<m::Container, String> {
        let all = self
            .cri
            .containers(Some(("io.kubernetes.pod.name", pod)))
            .await
            .map_err(|error| error.message)?;
        let is = |one: &m::Container, key: &str, value: &str| {
            one.labels.get(key).is_some_and(|there| there == value)
        };
        let mut ours: Vec<m::Container> = all
            .into_iter()
            .filter(|one| {
                is(one, "io.kubernetes.pod.namespace", namespace)
                    && is(one, "io.kubernetes.container.name", container)
            })
            .collect();
        ours.sort_by_key(|one| {
            std::cmp::Reverse(one.metadata.as_ref().map_or(0, |metadata| metadata.attempt))
        });
        let found = ours.into_iter().nth(usize::from(previous));
        found.ok_or_else(|| {
            if previous {
                format!("previous terminated container \"{container}\" in pod \"{pod}\" not found")
            } else {
                format!("container \"{container}\" in pod \"{pod}\" is waiting to start: ContainerCreating")
            }
        })
    }

    /// The sandbox of a pod by its names.
    pub(crate) async fn find_sandbox(&self, namespace: &str, pod: &str) -> Result<String, String> {
        let all =
            self.cri.sandboxes(Some(("io.kubernetes.pod.name", pod))).await.map_err(|error| error.message)?;
        let ours = all.into_iter().filter(|one| {
            one.state == 0
                && one.labels.get("io.kubernetes.pod.namespace").is_some_and(|there| there == namespace)
        });
        let found = ours.max_by_key(|one| one.created_at);
        found.map(|one| one.id).ok_or_else(|| format!("pod \"{pod}\" does not run"))
    }
}

/// Answers with a container's log.
pub(crate) async fn answer(
    context: &Arc<Context>,
    (namespace, pod, container): (&str, &str, &str),
    query: &str,
) -> Response<Body> {
    let previous = values(query, "previous").iter().any(|value| value == "true");
    let found = match context.find_container(namespace, pod, container, previous).await {
        Ok(found) => found,
        Err(words) => return said(StatusCode::BAD_REQUEST, &words),
    };
    let uid = found.labels.get(POD_UID).cloned().unwrap_or_default();
    let attempt = found.metadata.map_or(0, |metadata| metadata.attempt);
    let file =
        context.logs.join(format!("{namespace}_{pod}_{uid}")).join(container).join(format!("{attempt}.log"));
    let wanted = Wanted::read(query, context.clock.now());
    let reader = Reader {
        context: Arc::clone(context),
        id: found.id,
        left: wanted.limit.unwrap_or(usize::MAX),
        wanted,
        file,
        place: 0,
        rest: Vec::new(),
        begun: false,
        last: false,
    };
    let pieces = stream::unfold(reader, |mut reader| async move {
        let piece = reader.next().await?;
        Some((piece.map(Frame::data), reader))
    });
    let mut response = Response::new(StreamBody::new(Box::pin(pieces)).boxed_unsync());
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("text/plain"));
    response
}

/// A log on its way.
struct Reader {
    context: Arc<Context>,
    id: String,
    wanted: Wanted,
    file: PathBuf,
    place: u64,
    rest: Vec<u8>,
    left: usize,
    begun: bool,
    /// The container has ended: what is there now is all.
    last: bool,
}

impl Reader {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if self.left == 0 {
                return None;
            }
            let bytes = match self.read() {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(error) => return Some(Err(error)),
            };
            let more = !bytes.is_empty();
            self.rest.extend(bytes);
            let text = self.lines();
            if !text.is_empty() {
                let text: String =
                    if text.len() > self.left { text.chars().take(self.left).collect() } else { text };
                self.left -= text.len().min(self.left);
                return Some(Ok(Bytes::from(text)));
            }
            if more {
                continue;
            }
            if !self.wanted.follow || self.last {
                return None;
            }
            self.last =
                self.context.cri.status(&self.id).await.map_or(true, |status| status.state != m::RUNNING);
            if !self.last {
                self.context.clock.sleep(LOOK).await;
            }
        }
    }

    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(&self.file)?;
        if !self.begun {
            self.begun = true;
            if let Some(tail) = self.wanted.tail {
                self.place = last_lines(&self.file, tail)?;
            }
        }
        file.seek(SeekFrom::Start(self.place))?;
        let mut bytes = vec![0; PIECE];
        let length = file.read(&mut bytes)?;
        bytes.truncate(length);
        self.place += length as u64;
        Ok(bytes)
    }

    /// The whole lines that are there, as they are told.
    fn lines(&mut self) -> String {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return String::new() };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        String::from_utf8_lossy(&whole).lines().filter_map(|line| self.wanted.told(line)).collect()
    }
}

/// Where the last lines of a file begin.
fn last_lines(file: &Path, count: usize) -> io::Result<u64> {
    let bytes = std::fs::read(file)?;
    let ends = bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').map(|(index, _)| index);
    // The last line ends with the file, so one end more is before it.
    Ok(ends
        .skip(1)
        .nth(count.wrapping_sub(1))
        .filter(|_| count > 0)
        .map_or(if count == 0 { bytes.len() as u64 } else { 0 }, |index| index as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_as_they_are_wanted() {
        let now = Timestamp::from_second(1_000).unwrap();
        let line = "1970-01-01T00:16:00.5Z stdout F hello there";
        let cases = [
            ("", Some("hello there\n")),
            ("timestamps=true", Some("1970-01-01T00:16:00.5Z hello there\n")),
            ("sinceSeconds=10", None),
            ("sinceSeconds=60", Some("hello there\n")),
            ("sinceTime=1970-01-01T00:17:00Z", None),
        ];
        for (query, expected) in cases {
            assert_eq!(Wanted::read(query, now).told(line).as_deref(), expected, "{query}");
        }
        assert_eq!(Wanted::default().told("1970-01-01T00:00:00Z stderr P part").as_deref(), Some("part"));
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        std::fs::write(&file, "a\nb\nc\n").unwrap();
        let from = |count| {
            String::from_utf8(
                std::fs::read(&file)
                    .unwrap()
                    .split_off(usize::try_from(last_lines(&file, count).unwrap()).unwrap()),
            )
            .unwrap()
        };
        assert_eq!([from(0), from(1), from(2), from(9)], ["", "c\n", "b\nc\n", "a\nb\nc\n"]);
    }
}
