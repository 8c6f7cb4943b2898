//! What reading, filling, printing and merging one Pod costs, in processor time of this thread:
//! `cargo run --release -p api --example objects`.

use std::hint::black_box;
use std::time::Duration;

use api::canonical::{normalise, to_vec};
use api::decode::{Expected, Media, Strictness, request};
use api::schema::builtin;

const TIMES: u32 = 5000;

/// Processor time of this process so far; wall time says little on a shared machine.
fn spent() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0))
}

fn measure(what: &str, mut work: impl FnMut()) {
    let before = spent();
    (0..TIMES).for_each(|_| work());
    println!("{what:30} {:6.1} us", (spent() - before).as_secs_f64() * 1e6 / f64::from(TIMES));
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let before = spent();
    let schema = builtin();
    println!("{:30} {:6.1} ms", "reading the tables, once", (spent() - before).as_secs_f64() * 1e3);
    let kind = |line: &&str| line.contains("{\\\"kind\\\":\\\"Pod\\\"");
    let line =
        include_str!("../protobuf/golden.jsonl").lines().find(kind).ok_or("a Pod among the examples")?;
    let (json, _): (String, String) = serde_json::from_str(line)?;
    let ty = schema.find_kind("", "v1", "Pod").ok_or("Pods have a type")?;
    let expected = Expected { schema, ty, group: "", version: "v1", kind: "Pod" };
    let read = |body: &[u8], media| request(body, media, &expected, Strictness::Strict);
    let mut pod = read(json.as_bytes(), Media::Json)?.value;
    normalise(schema, ty, &mut pod);
    let message = api::protobuf::encode_object(&pod, schema, ty);
    println!("a Pod of {} bytes as JSON, {} as protobuf", json.len(), message.len());
    measure("JSON without a type", || drop(black_box(serde_json::from_str::<serde_json::Value>(&json))));
    measure("JSON, strict", || drop(black_box(read(json.as_bytes(), Media::Json))));
    measure("protobuf", || drop(black_box(read(&message, Media::Protobuf))));
    measure("canonical form, of a copy", || normalise(schema, ty, black_box(&mut pod.clone())));
    measure("defaults, nothing absent", || api::default::fill(schema, ty, black_box(&mut pod)));
    measure("printing", || drop(black_box(to_vec(&pod))));
    Ok(())
}
