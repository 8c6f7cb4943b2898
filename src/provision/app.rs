//! Manifests of a user's own application, as `cluster new app` writes them: a Deployment and a
//! Service for each part, and a Secret of its variables.

use serde::Serialize;

use crate::bootstrap::TemplateError;
use crate::bootstrap::template::{Template, render};

/// A part of an application: its frontend or its backend.
#[derive(Debug, Clone, Serialize)]
pub struct Part<'a> {
    /// The application.
    pub app: &'a str,
    /// `frontend`, `backend`.
    pub part: &'a str,
    /// The name of its Deployment and its Service.
    pub name: &'a str,
    /// Its image.
    pub image: &'a str,
    /// The port that its container listens on.
    pub port: Port,
    /// The same, as the variable PORT tells it.
    pub port_text: String,
    /// The port of its Service.
    pub service_port: Port,
    /// The backend's URL, for a frontend that has one.
    pub backend: Option<String>,
    /// The Secret of its variables.
    pub secret: Option<&'a str>,
    /// Whether it is reached from outside.
    pub public: bool,
    /// Whether there may be one pod only.
    pub single: bool,
}

/// A port, as templates take numbers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Port(pub [u16; 1]);

/// Variables of an application.
#[derive(Debug, Clone, Serialize)]
pub struct Secret<'a> {
    /// The application.
    pub app: &'a str,
    /// The Secret's name.
    pub name: &'a str,
    /// Names and values.
    pub entries: Vec<Entry>,
}

/// A variable.
#[derive(Clone, Serialize)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// Its value; never printed.
    pub value: String,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Template for Part<'_> {
    const NAME: &'static str = "app-part.yaml";
}

impl Template for Secret<'_> {
    const NAME: &'static str = "app-secret.yaml";
}

/// The manifests of a part.
pub fn part(part: &Part<'_>) -> Result<String, TemplateError> {
    render(part)
}

/// The manifest of the variables.
pub fn secret(secret: &Secret<'_>) -> Result<String, TemplateError> {
    render(secret)
}

#[cfg(test)]
pub(crate) fn odd_part(odd: &str) -> Part<'_> {
    Part {
        app: odd,
        part: "frontend",
        name: "web",
        image: odd,
        port: Port([3000]),
        port_text: "3000".to_owned(),
        service_port: Port([80]),
        backend: Some("http://api:80".to_owned()),
        secret: Some("web-env"),
        public: true,
        single: false,
    }
}

#[cfg(test)]
pub(crate) fn odd_secret(odd: &str) -> Secret<'_> {
    let entries = vec![Entry { key: "KEY".to_owned(), value: odd.to_owned() }];
    Secret { app: "shop", name: "web-env", entries }
}
