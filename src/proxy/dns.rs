//! DNS messages: one question in, its answer out. What is not ours is the caller's to forward.

use std::net::Ipv4Addr;

use crate::endpoints::Services;
use crate::names::{Answer, Kind, answer};

/// How long an answer of ours may be kept, in seconds.
const TTL: u32 = 5;
/// The most of a UDP answer for one that says nothing of larger ones.
const SMALL: usize = 512;
/// The most that we send by UDP, whatever is said.
const LARGE: usize = 1232;

const CLASS_IN: u16 = 1;
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
const TYPE_SOA: u16 = 6;
const TYPE_PTR: u16 = 12;
const TYPE_SRV: u16 = 33;
const TYPE_OPT: u16 = 41;
const REFUSED_FORM: u8 = 1;
const FAILED: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;

/// What becomes of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// This is sent.
    Send(Vec<u8>),
    /// Another server is asked, and its answer sent as it is.
    Forward,
    /// Nothing is sent: it was no question.
    Ignore,
}

/// A question, as far as it counts.
#[derive(Debug)]
struct Question<'a> {
    message: &'a [u8],
    /// Lower case, without the final dot.
    name: String,
    kind: u16,
    /// Where the question ends.
    end: usize,
    /// How much the sender takes by UDP, where it says so.
    takes: Option<usize>,
}

/// Answers a message; by UDP an answer may be cut.
#[must_use]
pub fn reply(services: &Services, domain: &str, message: &[u8], udp: bool) -> Reply {
    let question = match read(message) {
        Ok(question) => question,
        Err(None) => return Reply::Ignore,
        Err(Some(code)) => return Reply::Send(failure(message, code)),
    };
    let kind = match question.kind {
        TYPE_A => Kind::A,
        TYPE_SRV => Kind::Srv,
        TYPE_PTR => Kind::Ptr,
        _ => Kind::Other,
    };
    let mut records: Vec<Record> = Vec::new();
    let mut code = 0;
    match answer(services, domain, &question.name, kind) {
        Answer::Elsewhere => return Reply::Forward,
        Answer::Missing => code = NO_SUCH_NAME,
        Answer::Nothing => {}
        Answer::Addresses(all) if kind == Kind::A => records.extend(all.into_iter().map(Record::a)),
        Answer::Addresses(_) => {}
        Answer::Alias(other) => records.push(Record { kind: TYPE_CNAME, data: encode(&other) }),
        Answer::Pointer(name) => records.push(Record { kind: TYPE_PTR, data: encode(&name) }),
        Answer::Ports(all) => records.extend(all.into_iter().map(|(port, host)| Record::srv(port, &host))),
    }
    Reply::Send(write(&question, code, &records, domain, udp))
}

/// The answer that a question gets when nobody could be asked.
#[must_use]
pub fn unreachable(message: &[u8]) -> Vec<u8> {
    failure(message, FAILED)
}

struct Record {
    kind: u16,
    data: Vec<u8>,
}

impl Record {
    fn a(address: Ipv4Addr) -> Self {
        Self { kind: TYPE_A, data: address.octets().to_vec() }
    }

    fn srv(port: u16, host: &str) -> Self {
        let mut data = vec![0, 0, 0, 100];
        data.extend(port.to_be_bytes());
        data.extend(encode(host));
        Self { kind: TYPE_SRV, data }
    }
}

fn u16_at(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// Reads a question. The error: nothing to answer, or a code to answer with.
fn read(message: &[u8]) -> Result<Question<'_>, Option<u8>> {
    let flags = u16_at(message, 2).ok_or(None)?;
    if message.len() < 12 || flags & 0x8000 != 0 {
        return Err(None);
    }
    if flags & 0x7800 != 0 {
        return Err(Some(NOT_IMPLEMENTED));
    }
    if u16_at(message, 4) != Some(1) {
        return Err(Some(REFUSED_FORM));
    }
    let (name, end) = name_at(message, 12).ok_or(Some(REFUSED_FORM))?;
    let kind = u16_at(message, end).ok_or(Some(REFUSED_FORM))?;
    let class = u16_at(message, end + 2).ok_or(Some(REFUSED_FORM))?;
    if class != CLASS_IN {
        return Err(Some(NOT_IMPLEMENTED));
    }
    let end = end + 4;
    // EDNS: an additional record at the root, whose class is the size that is taken.
    let is_edns = u16_at(message, 10) == Some(1)
        && message.get(end) == Some(&0)
        && u16_at(message, end + 1) == Some(TYPE_OPT);
    let takes = is_edns.then(|| u16_at(message, end + 3).map_or(SMALL, usize::from));
    Ok(Question { message, name, kind, end, takes })
}

/// A name without pointers, as questions hold it; where it ends.
fn name_at(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if length > 63 || name.len() + length > 254 {
            return None;
        }
        let label = message.get(at..at + length)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}

fn encode(name: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + 2);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        let label = &label.as_bytes()[..label.len().min(63)];
        out.push(u8::try_from(label.len()).unwrap_or(63));
        out.extend(label);
    }
    out.push(0);
    out
}

fn failure(message: &[u8], code: u8) -> Vec<u8> {
    let end = match name_at(message, 12) {
        Some((_, end)) if u16_at(message, 4) == Some(1) && end + 4 <= message.len() => end + 4,
        _ => 12,
    };
    let mut out = message[..end].to_vec();
    head(&mut out, code, false, (u16::from(end > 12), 0, 0, 0));
    out
}

/// Response, authoritative, recursion available as it was wanted.
fn head(out: &mut [u8], code: u8, cut: bool, counts: (u16, u16, u16, u16)) {
    out[2] = 0x84 | (out[2] & 0x01) | if cut { 0x02 } else { 0 };
    out[3] = 0x80 | code;
    for (index, count) in [counts.0, counts.1, counts.2, counts.3].into_iter().enumerate() {
        out[4 + index * 2..6 + index * 2].copy_from_slice(&count.to_be_bytes());
    }
}

fn write(question: &Question<'_>, code: u8, records: &[Record], domain: &str, udp: bool) -> Vec<u8> {
    let mut out = question.message[..question.end].to_vec();
    let limit = if udp { question.takes.map_or(SMALL, |takes| takes.clamp(SMALL, LARGE)) } else { 65_535 };
    let room = limit - if question.takes.is_some() { 11 } else { 0 };
    let (mut count, mut cut) = (0, false);
    for record in records {
        let size = 12 + record.data.len();
        if out.len() + size > room {
            cut = true;
            break;
        }
        // The name is the question's own, 12 bytes from the beginning.
        put(&mut out, &[0xc0, 12], record.kind, TTL, &record.data);
        count += 1;
    }
    let mut authorities = 0;
    let soa = authority(domain);
    if records.is_empty() && out.len() + soa.len() + 64 <= room {
        put(&mut out, &encode(domain), TYPE_SOA, TTL, &soa);
        authorities = 1;
    }
    if question.takes.is_some() {
        out.extend([0, 0, 41]);
        out.extend(u16::try_from(LARGE).unwrap_or(512).to_be_bytes());
        out.extend([0, 0, 0, 0, 0, 0]);
    }
    head(&mut out, code, cut, (1, count, authorities, u16::from(question.takes.is_some())));
    out
}

fn put(out: &mut Vec<u8>, name: &[u8], kind: u16, ttl: u32, data: &[u8]) {
    out.extend(name);
    out.extend(kind.to_be_bytes());
    out.extend(CLASS_IN.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
    out.extend(data);
}

/// Who answers for the domain: without it, that a name is missing may not be kept.
fn authority(domain: &str) -> Vec<u8> {
    let mut data = encode(&format!("ns.dns.{domain}"));
    data.extend(encode(&format!("hostmaster.{domain}")));
    for number in [1_u32, 7200, 1800, 86400, TTL] {
        data.extend(number.to_be_bytes());
    }
    data
}

/// A question, for tests and for whoever asks.
#[must_use]
pub fn ask(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut out = id.to_be_bytes().to_vec();
    out.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend(encode(name));
    out.extend(kind.to_be_bytes());
    out.extend(CLASS_IN.to_be_bytes());
    out
}
