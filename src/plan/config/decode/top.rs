//! The document's own fields and the image.

use super::super::diagnostic::Mistake;
use super::super::rules::{machine, name, place};
use super::super::{Config, Image, ImageSource, limits};
use super::reader::{At, Fields, Reader};
use super::{access, groups};

/// The whole file. `None` only if it is not even a mapping.
pub(super) fn config(reader: &mut Reader<'_>, root: &At<'_>) -> Option<Config> {
    let fields = reader.mapping(root)?;
    let mut config = Config::defaults("");
    if let Some(at) = fields.get("version") {
        reader.number(&at, "1", machine::version);
    }
    config.name = required_name(reader, &fields, "my-app", name::cluster).unwrap_or_default();
    if let Some(at) = fields.get("region") {
        config.region = reader.text(&at, place::region);
    }
    if let Some(at) = fields.get("access") {
        config.access = access::access(reader, &at);
    }
    if let Some(at) = fields.get("network") {
        config.network = access::network(reader, &at);
    }
    if let Some(at) = fields.get("masters") {
        config.masters = groups::masters(reader, &at);
    }
    if let Some(at) = fields.get("workers") {
        config.workers = groups::workers(reader, &at);
    }
    if let Some(at) = fields.get("iamInstanceProfile") {
        config.iam_instance_profile = reader.text(&at, machine::instance_profile);
    }
    if let Some(at) = fields.get("extraApiNames") {
        config.extra_api_names = api_names(reader, &at);
    }
    config.image = image(reader, fields.get("image").as_ref(), &config);
    Some(config)
}

/// A name that has no default.
pub(super) fn required_name(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    example: &str,
    rule: fn(&str) -> super::super::rules::Checked<String>,
) -> Option<String> {
    if let Some(at) = fields.get("name") {
        return reader.text(&at, rule);
    }
    if fields.has_misspelt("name") {
        return None;
    }
    let whole = &fields.whole;
    let path = if whole.path.is_empty() { "name".to_owned() } else { format!("{}.name", whole.path) };
    let mistake = Mistake::new("the name is missing", format!("write name: {example}"));
    reader.wrong_at(&path, whole.node.place, mistake);
    None
}

fn api_names<'t>(reader: &mut Reader<'_>, at: &At<'t>) -> Vec<String> {
    match reader.list(at, limits::MAX_API_NAMES, "[api.example.com]") {
        Some(items) => reader.distinct(&items, |reader, item| reader.text(item, name::api_name)),
        None => Vec::new(),
    }
}

/// The image; what is left out follows the instance types' architecture.
fn image<'t>(reader: &mut Reader<'_>, at: Option<&At<'t>>, config: &Config) -> Image {
    let by_types = config
        .instance_types()
        .first()
        .map_or_else(|| Image::default().architecture, |first| machine::architecture_of(first));
    let Some(fields) = at.and_then(|at| reader.mapping(at)) else {
        return Image::debian(by_types);
    };
    let mut take = |name, rule: fn(&str) -> super::super::rules::Checked<String>| {
        fields.get(name).map(|at| reader.text(&at, rule).unwrap_or_default())
    };
    let id = take("id", machine::image_id);
    let owner = take("owner", machine::image_owner);
    let name = take("name", machine::image_name);
    let user = take("user", machine::user);
    let architecture =
        fields.get("architecture").and_then(|at| reader.text(&at, machine::architecture)).unwrap_or(by_types);
    let mut image = Image::debian(architecture);
    if let Some(user) = user {
        image.user = user;
    }
    match (id, owner, name) {
        (None, None, None) => {}
        (Some(id), None, None) => image.source = ImageSource::Id { id },
        (None, Some(owner), Some(name)) => image.source = ImageSource::Newest { owner, name },
        (Some(_), ..) => one_way_only(reader, &fields),
        (None, owner, _) => half_named(reader, &fields, owner.is_some()),
    }
    image
}

fn one_way_only(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    let other = fields.get("owner").or_else(|| fields.get("name"));
    if let Some(other) = other {
        let mistake =
            Mistake::new("image.id names the image already", "leave out either id, or both owner and name");
        reader.wrong(&other, mistake);
    }
}

fn half_named(reader: &mut Reader<'_>, fields: &Fields<'_>, has_owner: bool) {
    let (present, absent, example) = if has_owner {
        ("owner", "name", "debian-12-amd64-*")
    } else {
        ("name", "owner", "\"136693071363\"")
    };
    if let Some(at) = fields.get(present) {
        let mistake = Mistake::new(
            format!("an image's {present} says nothing without its {absent}"),
            format!("write both, such as {absent}: {example}, or leave both out"),
        );
        reader.wrong(&at, mistake);
    }
}
