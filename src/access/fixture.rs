//! For tests: objects by kind and name, and a key.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::Value;

use crate::lookups::{Lookups, What};
use crate::token::{Issuer, KeySet, SigningKey};
use api::meta::str_at;

/// Objects to look up.
#[derive(Default)]
pub(crate) struct Objects(BTreeMap<(What, String, String), Arc<Value>>);

impl Objects {
    pub(crate) fn of(objects: &[(What, Value)]) -> Objects {
        let mut all = Objects::default();
        for (what, object) in objects {
            all.put(*what, object.clone());
        }
        all
    }

    pub(crate) fn put(&mut self, what: What, object: Value) {
        let key = |pointer| str_at(&object, pointer).to_owned();
        let key = (what, key("metadata.namespace"), key("metadata.name"));
        self.0.insert(key, Arc::new(object));
    }

    pub(crate) fn remove(&mut self, what: What, namespace: &str, name: &str) {
        self.0.remove(&(what, namespace.to_owned(), name.to_owned()));
    }
}

impl Lookups for Objects {
    fn get(&self, what: What, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.0.get(&(what, namespace.to_owned(), name.to_owned())).cloned()
    }

    fn priority_classes(&self) -> Vec<Arc<Value>> {
        self.0
            .iter()
            .filter(|(key, _)| key.0 == What::PriorityClass)
            .map(|(_, class)| class.clone())
            .collect()
    }
}

pub(crate) const NOON: i64 = 1_795_521_600;

/// Noon of the day of the tests, and so many seconds.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOON + seconds).unwrap()
}

pub(crate) fn key() -> SigningKey {
    let random = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let body = STANDARD.encode(der.as_ref());
    SigningKey::from_pem(
        &format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"),
        &random,
    )
    .unwrap()
}

pub(crate) fn issuer() -> Issuer {
    Issuer::new("https://issuer.example", KeySet::new(key(), Vec::new()))
}
