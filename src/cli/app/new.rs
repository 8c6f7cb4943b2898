//! `cluster new app`: manifests for a frontend and a backend, plain and commented, to be edited.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use provision::app::{self, Entry, Part, Port, Secret};

use crate::cli::{arguments, output};

/// Files that describe an image, in the order in which they are looked for.
const CONTAINERFILES: &[&str] = &["Containerfile", "Dockerfile"];
/// Where nothing says another.
const PORT: u16 = 8080;

/// A folder with the port that its container listens on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    folder: PathBuf,
    port: Option<u16>,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (folder, port) = match text.rsplit_once(':') {
            None => (text, None),
            Some((folder, port)) => match port.parse::<u16>() {
                Ok(port) if port > 0 => (folder, Some(port)),
                _ => {
                    return Err(format!("{port:?} is no port: give a folder and a number, such as web:3000"));
                }
            },
        };
        if folder.is_empty() {
            return Err("the folder is missing: give a folder and a number, such as web:3000".to_owned());
        }
        Ok(Self { folder: folder.into(), port })
    }
}

/// A part that manifests are written for.
struct Planned<'a> {
    source: &'a Source,
    part: &'static str,
    image: String,
    port: u16,
}

/// Writes the manifests and says what comes next.
pub(crate) fn app(arguments: &arguments::NewApp) -> anyhow::Result<ExitCode> {
    let app = match &arguments.name {
        Some(name) => name.clone(),
        None => named_by_folder()?,
    };
    check_name(&app)?;
    let mut parts = Vec::new();
    for (part, source) in [("backend", &arguments.backend), ("frontend", &arguments.frontend)] {
        let Some(source) = source else { continue };
        parts.push(planned(&app, part, source)?);
    }
    if parts.is_empty() {
        bail!("name at least one of --frontend DIR[:PORT] and --backend DIR[:PORT]");
    }
    let entries = arguments.env_file.as_deref().map(variables).transpose()?.unwrap_or_default();
    let secret = format!("{app}-env");
    let has_backend = parts.iter().any(|one| one.part == "backend");
    let mut files = Vec::new();
    for one in &parts {
        let name = format!("{app}-{}", one.part);
        let is_last = one.part == "frontend" || parts.len() == 1;
        let manifest = app::part(&Part {
            app: &app,
            part: one.part,
            name: &name,
            image: &one.image,
            port: Port([one.port]),
            port_text: one.port.to_string(),
            service_port: Port([80]),
            backend: (has_backend && one.part == "frontend").then(|| format!("http://{app}-backend")),
            secret: (!entries.is_empty()).then_some(&*secret),
            public: is_last,
            single: false,
        })?;
        files.push((format!("{}.yaml", one.part), 0o644, manifest));
    }
    if !entries.is_empty() {
        let manifest = app::secret(&Secret { app: &app, name: &secret, entries })?;
        files.push(("secret.yaml".to_owned(), 0o600, manifest));
    }
    write(&arguments.output, &files)?;
    output::print(&said(&arguments.output, &files, &parts))?;
    Ok(ExitCode::SUCCESS)
}

fn named_by_folder() -> anyhow::Result<String> {
    let here = std::env::current_dir().context("find this folder's name")?;
    let name = here.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    Ok(name.trim_matches('-').to_owned())
}

/// A name of an object is made of it, with an ending.
fn check_name(name: &str) -> anyhow::Result<()> {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if plain && begins && !name.ends_with('-') && name.len() <= 50 {
        return Ok(());
    }
    bail!(
        "{name:?} cannot be an application's name: give one with --name, of a-z, 0-9 and -, beginning with a letter, at most 50 long"
    )
}

fn planned<'a>(app: &str, part: &'static str, source: &'a Source) -> anyhow::Result<Planned<'a>> {
    let folder = &source.folder;
    if !folder.is_dir() {
        bail!("--{part} {}: there is no such folder", folder.display());
    }
    let described = CONTAINERFILES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    let exposed = match &described {
        None => None,
        Some(path) => exposed(&fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?),
    };
    if described.is_none() {
        eprintln!(
            "{} {} has no Containerfile: docs/your-app.md shows one",
            output::paint("note:", output::YELLOW),
            folder.display()
        );
    }
    let port = source.port.or(exposed).unwrap_or(PORT);
    Ok(Planned { source, part, image: format!("{app}/{part}:1"), port })
}

/// The first port of the last stage's `EXPOSE`.
fn exposed(text: &str) -> Option<u16> {
    let mut found = None;
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match words.next().unwrap_or_default().to_uppercase().as_str() {
            "FROM" => found = None,
            "EXPOSE" => found = found.or_else(|| words.next()?.split('/').next()?.parse().ok()),
            _ => {}
        }
    }
    found
}

/// Variables of a file, `KEY=value` a line.
fn variables(path: &Path) -> anyhow::Result<Vec<Entry>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    read_variables(&text).map_err(|(line, why)| anyhow::anyhow!("{}, line {line}: {why}", path.display()))
}

fn read_variables(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let mut all: Vec<Entry> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: String| (at + 1, why);
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((key, value)) = line.split_once('=') else {
            return Err(wrong("a variable is written KEY=value".to_owned()));
        };
        let key = key.trim();
        let plain = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if key.is_empty() || !plain || key.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(wrong(format!("{key:?} cannot be a variable's name: letters, digits and _ can")));
        }
        if all.iter().any(|before| before.key == key) {
            return Err(wrong(format!("{key} is set twice")));
        }
        let value = value.trim();
        let bare = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        all.push(Entry { key: key.to_owned(), value: bare.unwrap_or(value).to_owned() });
    }
    Ok(all)
}

/// Writes all files or none; a file that is there is somebody's work.
fn write(folder: &Path, files: &[(String, u32, String)]) -> anyhow::Result<()> {
    if let Some((name, ..)) = files.iter().find(|(name, ..)| folder.join(name).exists()) {
        bail!(
            "{} is there already: remove it, or write elsewhere with --output",
            folder.join(name).display()
        );
    }
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    for (name, mode, text) in files {
        let path = folder.join(name);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(*mode)
            .open(&path)
            .with_context(|| format!("write {}", path.display()))?;
        file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn said(folder: &Path, files: &[(String, u32, String)], parts: &[Planned<'_>]) -> String {
    let mut text = String::new();
    for (name, mode, _) in files {
        let note =
            if *mode == 0o600 { " (readable by you alone: keep it out of version control)" } else { "" };
        text.push_str(&format!("wrote {}{note}\n", folder.join(name).display()));
    }
    text.push_str("next:\n");
    for one in parts {
        let archive = format!("{}.tar", one.part);
        text.push_str(&format!(
            "  docker build --platform linux/amd64 -t {image} {} && docker save {image} -o {archive}\n",
            one.source.folder.display(),
            image = one.image,
        ));
    }
    let archives: Vec<String> = parts.iter().map(|one| format!("{}.tar", one.part)).collect();
    text.push_str(&format!(
        "  cluster image load {}\n  cluster deploy {}\n",
        archives.join(" "),
        folder.display()
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_with_ports_of_their_own_or_of_their_containerfile() {
        let source = |text: &str| text.parse::<Source>();
        assert_eq!(source("web:3000").unwrap(), Source { folder: "web".into(), port: Some(3000) });
        assert_eq!(source("./web").unwrap().port, None);
        assert!(source("web:x").unwrap_err().contains("no port"));
        assert!(source(":80").unwrap_err().contains("the folder is missing"));
        assert_eq!(exposed("FROM a\nEXPOSE 1\nFROM b\nexpose 3000/tcp 4000\n"), Some(3000));
        assert_eq!(exposed("FROM a\nEXPOSE $PORT\n"), None);
    }

    #[test]
    fn variables_are_read_and_mistakes_named_by_line() {
        let read = read_variables("# c\nA=1\nexport B=\"x y\"\nC='='\n").unwrap();
        let pairs: Vec<_> = read.iter().map(|one| (&*one.key, &*one.value)).collect();
        assert_eq!(pairs, [("A", "1"), ("B", "x y"), ("C", "=")]);
        for (text, wanted) in [
            ("A=1\nB", (2, "a variable is written KEY=value")),
            ("A-B=1", (1, "\"A-B\" cannot be a variable's name: letters, digits and _ can")),
            ("A=1\nA=2", (2, "A is set twice")),
        ] {
            let (line, why) = read_variables(text).unwrap_err();
            assert_eq!((line, &*why), wanted);
        }
    }

    #[test]
    fn what_is_written_is_what_deploy_reads() {
        let folder = tempfile::tempdir().unwrap();
        let web = folder.path().join("web");
        fs::create_dir(&web).unwrap();
        fs::write(web.join("Dockerfile"), "FROM node\nEXPOSE 3000\n").unwrap();
        let env = folder.path().join("env");
        fs::write(&env, "TOKEN=\"a: b\"\n").unwrap();
        let arguments = arguments::NewApp {
            name: Some("shop".to_owned()),
            frontend: Some(web.display().to_string().parse().unwrap()),
            backend: Some(format!("{}:4000", web.display()).parse().unwrap()),
            env_file: Some(env),
            output: folder.path().join("deploy"),
        };
        app(&arguments).unwrap();
        let all = super::super::manifests::read(&arguments.output).unwrap();
        let labels: Vec<_> = all.iter().map(|one| one.label()).collect();
        assert_eq!(
            labels,
            [
                "secret/shop-env",
                "service/shop-backend",
                "service/shop-frontend",
                "deployment/shop-backend",
                "deployment/shop-frontend"
            ]
        );
        assert_eq!(all[0].object["data"]["TOKEN"], "YTogYg==");
        assert_eq!(all[2].object["spec"]["type"], "LoadBalancer");
        assert!(all[1].object["spec"]["type"].is_null(), "the backend is inside");
        let container = &all[4].object["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["ports"][0]["containerPort"], 3000);
        assert_eq!(container["env"][1]["value"], "http://shop-backend");
        assert!(app(&arguments).unwrap_err().to_string().contains("is there already"));
    }
}
