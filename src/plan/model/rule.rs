//! Security group rules, inbound only: outbound stays AWS's default (everything).

use std::fmt;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// What a rule lets in. `R` names a security group: a [`super::Ref`] in a plan, an id in an inventory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rule<R> {
    /// Protocol and ports.
    pub protocol: Protocol,
    /// Who may send.
    pub source: Source<R>,
}

/// Protocol and, where it has them, ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// TCP to a port in `from..=to`.
    Tcp {
        /// First port.
        from: u16,
        /// Last port.
        to: u16,
    },
    /// UDP to a port in `from..=to`.
    Udp {
        /// First port.
        from: u16,
        /// Last port.
        to: u16,
    },
    /// ICMP of one type and code; -1 is any.
    Icmp {
        /// ICMP type.
        kind: i16,
        /// ICMP code.
        code: i16,
    },
    /// Anything else AWS can express, under its own words: seen in inventories only.
    Other {
        /// IANA protocol number; -1 is all traffic.
        number: i16,
        /// First port, or -1.
        from: i32,
        /// Last port, or -1.
        to: i32,
    },
}

/// Who may send.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source<R> {
    /// Addresses.
    Cidr(Ipv4Net),
    /// Machines that carry a security group.
    Group(R),
    /// A source this program never writes (IPv6, prefix list): AWS's words for it.
    Foreign(String),
}

impl<R> Rule<R> {
    /// The same rule with its group name replaced by `f`.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn try_map<S, E>(&self, f: &mut impl FnMut(&R) -> Result<S, E>) -> Result<Rule<S>, E> {
        let source = match &self.source {
            Source::Cidr(net) => Source::Cidr(*net),
            Source::Group(group) => Source::Group(f(group)?),
            Source::Foreign(words) => Source::Foreign(words.clone()),
        };
        Ok(Rule { protocol: self.protocol, source })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { from, to } if from == to => write!(f, "tcp {from}"),
            Self::Tcp { from, to } => write!(f, "tcp {from}-{to}"),
            Self::Udp { from, to } if from == to => write!(f, "udp {from}"),
            Self::Udp { from, to } => write!(f, "udp {from}-{to}"),
            Self::Icmp { kind: 3, code: 4 } => write!(f, "icmp fragmentation-needed"),
            Self::Icmp { kind, code } => write!(f, "icmp {kind}/{code}"),
            Self::Other { number: -1, .. } => write!(f, "all traffic"),
            Self::Other { number, from, to } => write!(f, "protocol {number} {from}-{to}"),
        }
    }
}

impl<R: fmt::Display> fmt::Display for Rule<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.protocol, self.source)
    }
}

impl<R: fmt::Display> fmt::Display for Source<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(net) => write!(f, "{net}"),
            Self::Group(group) => write!(f, "{group}"),
            Self::Foreign(words) => f.write_str(words),
        }
    }
}
