//! Logs of containers: files of lines, each with its time and stream, told as they were written,
//! byte for byte.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::meta;
use bytes::Bytes;
use client::Place;
use futures::stream;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::Value;

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

    /// Adds a line as it is told, if it is wanted. `fresh`: whether it is a line's first part.
    fn tell(&self, line: &[u8], fresh: &mut bool, out: &mut Vec<u8>) {
        let mut parts = line.splitn(4, |byte| *byte == b' ');
        let (Some(time), Some(_), Some(tag)) = (parts.next(), parts.next(), parts.next()) else { return };
        let text = parts.next().unwrap_or_default();
        let time = String::from_utf8_lossy(time);
        let parsed = time.parse::<Timestamp>();
        if let Some(since) = self.since
            && parsed.as_ref().is_ok_and(|time| *time < since)
        {
            return;
        }
        if self.timestamps && *fresh {
            let fixed = parsed.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string());
            out.extend_from_slice(fixed.as_deref().unwrap_or(&time).as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(text);
        // A part of a longer line goes on in the next.
        *fresh = !tag.starts_with(b"P");
        if *fresh {
            out.push(b'\n');
        }
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
        // An older pod of the same name may not be gone yet.
        ours.sort_by_key(|one| std::cmp::Reverse(one.created_at));
        let uid = ours.first().and_then(|one| one.labels.get(POD_UID).cloned());
        ours.retain(|one| one.labels.get(POD_UID) == uid.as_ref());
        if let Some(found) = ours.into_iter().nth(usize::from(previous)) {
            return Ok(found);
        }
        let place = Place::within(namespace, pod);
        let object = self.get("pods", "Pod", &place).await.ok().flatten().unwrap_or_default();
        Err(missing(&object, pod, container, previous))
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

/// Why a container that the runtime does not have has no log, in upstream's words.
fn missing(object: &Value, pod: &str, container: &str, previous: bool) -> String {
    let lists = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let all = lists.iter().flat_map(|list| meta::list_at(&object["status"], list));
    let status = all.into_iter().find(|one| meta::str_at(one, "name") == container);
    let of = format!("container \"{container}\" in pod \"{pod}\"");
    let Some(status) = status else { return format!("{of} is not available") };
    let waiting = &status["state"]["waiting"];
    match meta::str_at(waiting, "reason") {
        _ if previous => format!("previous terminated {of} not found"),
        _ if status["state"]["terminated"].is_object() || status["lastState"]["terminated"].is_object() => {
            format!("{of} is terminated")
        }
        "ErrImagePull" => format!("{of} is waiting to start: image can't be pulled"),
        "ImagePullBackOff" => format!("{of} is waiting to start: trying and failing to pull image"),
        reason if waiting.is_object() => format!("{of} is waiting to start: {reason}"),
        _ => format!("{of} is waiting to start - no logs yet"),
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
        fresh: true,
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
    /// The next line begins a line.
    fresh: bool,
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
            let mut text = self.lines();
            if !text.is_empty() {
                text.truncate(self.left);
                self.left -= text.len();
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
        let mut file = File::open(&self.file)?;
        if !self.begun {
            self.begun = true;
            if let Some(tail) = self.wanted.tail {
                self.place = last_lines(&mut file, tail)?;
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
    fn lines(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return out };
        for line in self.rest[..end].split(|byte| *byte == b'\n') {
            self.wanted.tell(line, &mut self.fresh, &mut out);
        }
        self.rest.drain(..=end);
        out
    }
}

/// Where the last lines of a file begin, read from its end.
fn last_lines(file: &mut File, count: usize) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut piece = vec![0; PIECE];
    // The last line ends with the file, so one end more is before the first that is wanted.
    let (mut place, mut ends) = (length, 0);
    while place > 0 && count > 0 {
        let size = place.min(PIECE as u64);
        place -= size;
        let piece = &mut piece[..usize::try_from(size).unwrap_or(PIECE)];
        file.seek(SeekFrom::Start(place))?;
        file.read_exact(piece)?;
        for (index, _) in piece.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            ends += usize::from(place + index as u64 + 1 < length);
            if ends == count {
                return Ok(place + index as u64 + 1);
            }
        }
    }
    Ok(if count == 0 { length } else { 0 })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(wanted: &Wanted, lines: &[&[u8]]) -> Vec<u8> {
        let (mut out, mut fresh) = (Vec::new(), true);
        lines.iter().for_each(|line| wanted.tell(line, &mut fresh, &mut out));
        out
    }

    #[test]
    fn lines_are_told_as_they_are_wanted() {
        let now = Timestamp::from_second(1_000).unwrap();
        let line = b"1970-01-01T00:16:00.5Z stdout F hello there";
        let cases = [
            ("", "hello there\n"),
            ("timestamps=true", "1970-01-01T00:16:00.500000000Z hello there\n"),
            ("sinceSeconds=10", ""),
            ("sinceSeconds=60", "hello there\n"),
            ("sinceTime=1970-01-01T00:17:00Z", ""),
        ];
        for (query, expected) in cases {
            assert_eq!(told(&Wanted::read(query, now), &[line]), expected.as_bytes(), "{query}");
        }
    }

    #[test]
    fn parts_of_a_line_are_joined_and_bytes_stay_as_they_are() {
        let parts = [&b"1970-01-01T00:00:00Z stdout P a\xff"[..], b"1970-01-01T00:00:01Z stdout F b"];
        assert_eq!(told(&Wanted::default(), &parts), b"a\xffb\n");
        let stamped = Wanted { timestamps: true, ..Wanted::default() };
        assert_eq!(told(&stamped, &parts), b"1970-01-01T00:00:00.000000000Z a\xffb\n");
    }

    #[test]
    fn the_last_lines_are_found_from_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let from = |text: &[u8], count| {
            let path = folder.path().join("log");
            std::fs::write(&path, text).unwrap();
            last_lines(&mut File::open(&path).unwrap(), count).unwrap()
        };
        assert_eq!([0, 1, 2, 3, 9].map(|count| from(b"a\nb\nc\n", count)), [6, 4, 2, 0, 0]);
        assert_eq!(from(b"a\nb\nhalf", 1), 4);
        assert_eq!(from(b"", 3), 0);
        // Lines that lie across the pieces that are read.
        let long = [vec![b'x'; PIECE - 1], b"\n".to_vec(), vec![b'y'; PIECE], b"\n".to_vec()].concat();
        assert_eq!(from(&long, 1), PIECE as u64);
    }

    #[test]
    fn a_container_without_a_log_says_why() {
        let pod = |state: Value| json!({"status": {"containerStatuses": [{"name": "c", "state": state}]}});
        let waiting = |reason: &str| pod(json!({"waiting": {"reason": reason}}));
        let cases = [
            (json!({}), "container \"c\" in pod \"p\" is not available"),
            (
                waiting("CreateContainerError"),
                "container \"c\" in pod \"p\" is waiting to start: CreateContainerError",
            ),
            (
                waiting("ErrImagePull"),
                "container \"c\" in pod \"p\" is waiting to start: image can't be pulled",
            ),
            (
                waiting("ImagePullBackOff"),
                "container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image",
            ),
            (pod(json!({"terminated": {}})), "container \"c\" in pod \"p\" is terminated"),
            (pod(json!({})), "container \"c\" in pod \"p\" is waiting to start - no logs yet"),
        ];
        for (object, expected) in cases {
            assert_eq!(missing(&object, "p", "c", false), expected);
        }
        let before = "previous terminated container \"c\" in pod \"p\" not found";
        assert_eq!(missing(&pod(json!({})), "p", "c", true), before);
    }
}
