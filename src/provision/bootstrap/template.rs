//! Rendering: every template of `templates/`, one typed context each, every value through a quoting filter.
//!
//! The templates are compiled into the binary. Autoescape is off, since none of
//! them is HTML; instead a value reaches a file only through `sh`, `yaml`,
//! `toml`, `unit`, `words` or `numbers`, which a test enforces.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera, TeraResult};

use super::files::ManagedFile;

/// The text every step script starts with.
pub(super) const PRELUDE: &str = include_str!("../../../templates/steps/prelude.sh");

const TEMPLATES: &[(&str, &str)] = &[
    ("user-data.yaml", include_str!("../../../templates/user-data.yaml.tera")),
    ("containerd.toml", include_str!("../../../templates/containerd.toml.tera")),
    ("etcd.service", include_str!("../../../templates/etcd.service.tera")),
    ("artifacts.service", include_str!("../../../templates/artifacts.service.tera")),
    ("server.service", include_str!("../../../templates/server.service.tera")),
    ("agent.service", include_str!("../../../templates/agent.service.tera")),
    ("agent.yaml", include_str!("../../../templates/agent.yaml.tera")),
    ("step.sh", include_str!("../../../templates/steps/step.sh.tera")),
    ("host-key-make.sh", include_str!("../../../templates/steps/host-key-make.sh.tera")),
    ("host-key.sh", include_str!("../../../templates/steps/host-key.sh.tera")),
    ("packages.sh", include_str!("../../../templates/steps/packages.sh.tera")),
    ("kernel.sh", include_str!("../../../templates/steps/kernel.sh.tera")),
    ("certificates.sh", include_str!("../../../templates/steps/certificates.sh.tera")),
    ("binary.sh", include_str!("../../../templates/steps/binary.sh.tera")),
    ("artifacts.sh", include_str!("../../../templates/steps/artifacts.sh.tera")),
    ("etcd.sh", include_str!("../../../templates/steps/etcd.sh.tera")),
    ("containerd.sh", include_str!("../../../templates/steps/containerd.sh.tera")),
    ("server.sh", include_str!("../../../templates/steps/server.sh.tera")),
    ("agent.sh", include_str!("../../../templates/steps/agent.sh.tera")),
    ("ready.sh", include_str!("../../../templates/steps/ready.sh.tera")),
    ("app-part.yaml", include_str!("../../../templates/app/part.yaml.tera")),
    ("app-secret.yaml", include_str!("../../../templates/app/secret.yaml.tera")),
];

/// A template could not be rendered: a mistake in this program, not of its user.
#[derive(Debug, thiserror::Error)]
#[error("the template {template} cannot be rendered; this is a bug")]
pub struct TemplateError {
    template: &'static str,
    #[source]
    source: tera::Error,
}

/// A template with the type of its values.
pub(crate) trait Template: Serialize {
    /// Its name in the table.
    const NAME: &'static str;
}

/// The values of `user-data.yaml`.
#[derive(Debug, Serialize)]
pub(super) struct UserData<'a> {
    pub(super) hostname: &'a str,
    pub(super) host_key_private: &'a str,
    pub(super) host_key_public: &'a str,
    pub(super) packages_script: &'a str,
}

/// The values of `etcd.service`.
#[derive(Debug, Serialize)]
pub(super) struct EtcdService<'a> {
    pub(super) name: &'a str,
    pub(super) address: String,
    pub(super) token: &'a str,
}

/// The values of `artifacts.service`.
#[derive(Debug, Serialize)]
pub(super) struct ArtifactsService {
    pub(super) address: String,
}

/// The values of `server.service`.
#[derive(Debug, Serialize)]
pub(super) struct ServerService<'a> {
    pub(super) address: String,
    pub(super) name: &'a str,
    pub(super) service_network: String,
    pub(super) pod_network: String,
    pub(super) service_ports: String,
}

/// `agent.service` has no values.
#[derive(Debug, Serialize)]
pub(super) struct AgentService {}

/// The values of `agent.yaml`.
#[derive(Debug, Serialize)]
pub(super) struct AgentConfig<'a> {
    pub(super) node: &'a str,
    pub(super) address: String,
    pub(super) external_address: Option<String>,
    pub(super) provider_id: String,
    pub(super) labels: Vec<Label>,
    pub(super) taints: Vec<TaintView>,
    pub(super) api_servers: Vec<String>,
    pub(super) api_server_name: String,
    pub(super) cluster_dns: String,
    pub(super) pod_network: String,
    pub(super) service_network: String,
    pub(super) service_ports: Vec<u16>,
}

/// A Node's label.
#[derive(Debug, Serialize)]
pub(super) struct Label {
    pub(super) key: String,
    pub(super) value: String,
}

/// A Node's taint.
#[derive(Debug, Serialize)]
pub(super) struct TaintView {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) effect: String,
}

/// The values of `containerd.toml`.
#[derive(Debug, Serialize)]
pub(super) struct ContainerdConfig {
    pub(super) cgroup: &'static str,
    pub(super) systemd_cgroup: bool,
}

/// The values of `host-key-make.sh`.
#[derive(Debug, Serialize)]
pub(super) struct HostKeyMake<'a> {
    pub(super) prelude: &'static str,
    pub(super) slot: &'a str,
}

/// The values of a step's body.
#[derive(Debug, Serialize)]
pub(super) struct Body<'a> {
    pub(super) packages: &'a [&'a str],
    pub(super) digest: &'a str,
    pub(super) artifact: &'a str,
    pub(super) uploaded: Option<&'a str>,
    pub(super) sources: &'a [String],
}

#[derive(Debug, Serialize)]
struct StepScript<'a> {
    prelude: &'static str,
    files: Vec<FileView<'a>>,
    body: &'a str,
    fix: bool,
}

#[derive(Debug, Serialize)]
struct FileView<'a> {
    path: &'a str,
    mode: String,
    owner: &'a str,
    digest: String,
    base64: String,
}

impl Template for UserData<'_> {
    const NAME: &'static str = "user-data.yaml";
}
impl Template for EtcdService<'_> {
    const NAME: &'static str = "etcd.service";
}
impl Template for ArtifactsService {
    const NAME: &'static str = "artifacts.service";
}
impl Template for ServerService<'_> {
    const NAME: &'static str = "server.service";
}
impl Template for AgentService {
    const NAME: &'static str = "agent.service";
}
impl Template for AgentConfig<'_> {
    const NAME: &'static str = "agent.yaml";
}
impl Template for ContainerdConfig {
    const NAME: &'static str = "containerd.toml";
}
impl Template for HostKeyMake<'_> {
    const NAME: &'static str = "host-key-make.sh";
}
impl Template for StepScript<'_> {
    const NAME: &'static str = "step.sh";
}

/// Renders a template with its values.
pub(crate) fn render<T: Template>(values: &T) -> Result<String, TemplateError> {
    render_named(T::NAME, values)
}

/// Renders the script of a step: its files, then its body, to check or to fix.
pub(super) fn step_script(
    name: &'static str,
    body: &Body<'_>,
    files: &[ManagedFile],
    fix: bool,
) -> Result<String, TemplateError> {
    let body = render_named(name, body)?;
    let files = files.iter().map(|file| FileView {
        path: &file.path,
        mode: format!("{:o}", file.mode),
        owner: file.owner,
        digest: file.digest(),
        // A check sends no content: some of it is secret, all of it is long.
        base64: if fix { STANDARD.encode(file.content.as_bytes()) } else { String::new() },
    });
    render(&StepScript { prelude: PRELUDE, files: files.collect(), body: &body, fix })
}

fn render_named(name: &'static str, values: &impl Serialize) -> Result<String, TemplateError> {
    let failed = |source| TemplateError { template: name, source };
    let tera = engine().as_ref().map_err(|words| failed(tera::Error::message(words.clone())))?;
    let context = Context::from_serialize(values).map_err(failed)?;
    tera.render(name, &context).map_err(failed)
}

fn engine() -> &'static Result<Tera, String> {
    static ENGINE: OnceLock<Result<Tera, String>> = OnceLock::new();
    ENGINE.get_or_init(|| build().map_err(|error| error.to_string()))
}

fn build() -> TeraResult<Tera> {
    let mut tera = Tera::new();
    tera.autoescape_on(Vec::<&str>::new());
    tera.register_filter("sh", |text: &str, _: Kwargs, _: &State<'_>| shell_quoted(text));
    tera.register_filter("yaml", |text: &str, _: Kwargs, _: &State<'_>| json_quoted(text));
    tera.register_filter("toml", |text: &str, _: Kwargs, _: &State<'_>| json_quoted(text));
    tera.register_filter("unit", |text: &str, _: Kwargs, _: &State<'_>| unit_quoted(text));
    tera.register_filter("words", |words: Vec<String>, _: Kwargs, _: &State<'_>| {
        words.iter().map(|word| shell_quoted(word)).collect::<Vec<_>>().join(" ")
    });
    tera.register_filter("numbers", |numbers: Vec<u16>, _: Kwargs, _: &State<'_>| {
        numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    });
    tera.add_raw_templates(TEMPLATES.iter().copied())?;
    Ok(tera)
}

/// One shell word, whatever `text` holds.
fn shell_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A JSON string, which is also a YAML and (but for exotic control characters) a TOML one.
fn json_quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// One word of a systemd unit: `%` doubled, the rest in double quotes where it needs any.
fn unit_quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let escaped = text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{}\"", escaped.replace('\n', r"\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_value_passes_a_quoting_filter() {
        // These are whole texts of our own making, or a boolean.
        let whole = ["prelude", "body", "file.base64", "systemd_cgroup"];
        for (name, text) in TEMPLATES {
            for value in text.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap().trim()) {
                let quoted = ["| sh", "| yaml", "| toml", "| unit", "| words", "| numbers"]
                    .iter()
                    .any(|f| value.ends_with(f));
                assert!(quoted || whole.contains(&value), "{name}: {{{{ {value} }}}} has no quoting filter");
            }
        }
    }

    #[test]
    fn a_shell_word_survives_quotes_and_dollars() {
        assert_eq!(shell_quoted("a'b $(c)"), r"'a'\''b $(c)'");
    }

    #[test]
    fn a_unit_word_cannot_expand_specifiers() {
        assert_eq!(unit_quoted("100% $HOME"), "\"100%% $$HOME\"");
        assert_eq!(unit_quoted("master-0"), "master-0");
    }

    #[test]
    fn yaml_values_stay_on_one_line() {
        assert_eq!(json_quoted("a\n\"b\""), r#""a\n\"b\"""#);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod snapshots {
    use super::*;
    use crate::bootstrap::files::ManagedFile;

    /// Values that would break a file if they were not quoted.
    const ODD: &str = "it's \"odd\" $(x) 100%";

    #[test]
    fn every_template_has_a_snapshot_and_its_values_stay_quoted() {
        let body = Body {
            packages: &["containerd", ODD],
            digest: "0123abcd",
            artifact: "0123abcd",
            uploaded: Some(ODD),
            sources: &["https://10.20.0.5:6444/binaries/sha256:0123abcd".to_owned()],
        };
        let rendered = [
            render(&UserData {
                hostname: ODD,
                host_key_private: "-----BEGIN-----\nkey\n-----END-----\n",
                host_key_public: "ssh-ed25519 AAAA",
                packages_script: "echo 'one'\necho two\n",
            }),
            render(&EtcdService { name: "master-0", address: "10.20.0.5".to_owned(), token: ODD }),
            render(&ArtifactsService { address: "10.20.0.5".to_owned() }),
            render(&ContainerdConfig { cgroup: "v2", systemd_cgroup: true }),
            render(&ServerService {
                address: "10.20.0.5".to_owned(),
                name: ODD,
                service_network: "10.96.0.0/16".to_owned(),
                pod_network: "10.244.0.0/16".to_owned(),
                service_ports: "80,443".to_owned(),
            }),
            render(&AgentService {}),
            render(&odd_agent()),
            render(&HostKeyMake { prelude: "# prelude", slot: ODD }),
            render(&crate::app::odd_part(ODD)),
            render(&crate::app::odd_secret(ODD)),
            render(&StepScript {
                prelude: "# prelude",
                files: Vec::new(),
                body: "satisfied() { :; }",
                fix: false,
            }),
        ];
        let whole = [
            "user-data.yaml",
            "etcd.service",
            "artifacts.service",
            "containerd.toml",
            "server.service",
            "agent.service",
            "agent.yaml",
            "host-key-make.sh",
            "app-part.yaml",
            "app-secret.yaml",
            "step.sh",
        ];
        for (name, text) in whole.iter().zip(rendered) {
            insta::assert_snapshot!(*name, text.unwrap());
        }
        let bodies = TEMPLATES.iter().map(|(name, _)| *name).filter(|name| !whole.contains(name));
        for name in bodies {
            insta::assert_snapshot!(name, render_named(name, &body).unwrap());
        }
    }

    fn odd_agent() -> AgentConfig<'static> {
        AgentConfig {
            node: "general-0",
            address: "10.20.0.4".to_owned(),
            external_address: Some("198.51.100.1".to_owned()),
            provider_id: "aws:///us-east-1a/i-1".to_owned(),
            labels: vec![Label { key: "a/b".to_owned(), value: ODD.to_owned() }],
            taints: vec![TaintView {
                key: "k".to_owned(),
                value: ODD.to_owned(),
                effect: "NoSchedule".to_owned(),
            }],
            api_servers: vec!["10.20.0.5:6443".to_owned()],
            api_server_name: "api.shop.cluster.internal".to_owned(),
            cluster_dns: "10.96.0.10".to_owned(),
            pod_network: "10.244.0.0/16".to_owned(),
            service_network: "10.96.0.0/16".to_owned(),
            service_ports: Vec::new(),
        }
    }

    #[test]
    fn a_check_carries_digests_and_a_fix_carries_contents() {
        let body = Body { packages: &[], digest: "", artifact: "", uploaded: None, sources: &[] };
        let files = || [ManagedFile::public("/etc/a", "content".to_owned())];
        let check = step_script("kernel.sh", &body, &files(), false).unwrap();
        let fix = step_script("kernel.sh", &body, &files(), true).unwrap();
        let encoded = STANDARD.encode("content");
        assert!(!check.contains(&encoded) && check.contains(&files()[0].digest()));
        assert!(fix.contains(&encoded));
    }
}
