//! Paths of a document: what can be done with each kind, in the words that clients look for
//! (`x-kubernetes-action`, `x-kubernetes-group-version-kind`, `fieldValidation`).
//!
//! The paths below `/watch/`, which have been deprecated since Kubernetes 1.11, are left out.

use serde_json::{Map, Value, json};

use super::components::{Components, reference};
use super::place;
use crate::kind::{Kind, Registry, Role, Subresource, Verbs};
use crate::schema::{Field, Scalar, Type, TypeId};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const PATCHES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];
const MEDIA: [&str; 3] = ["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];
const WATCHED: [&str; 5] = [
    "application/json",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf;stream=watch",
    "application/yaml",
];

/// Parameters by name: type and description.
const PARAMETERS: [(&str, &str, &str); 20] = [
    (
        "allowWatchBookmarks",
        "boolean",
        "Ask a watch for events of type BOOKMARK, which carry a resource version alone.",
    ),
    ("continue", "string", "Where to go on with a list; from the answer with the part before."),
    ("dryRun", "string", "Do everything but keep the result. The only value is All."),
    ("fieldManager", "string", "Who makes the change, in at most 128 printable characters."),
    ("fieldSelector", "string", "Only objects with these values of fields."),
    ("fieldValidation", "string", "What becomes of unknown and repeated fields: Ignore, Warn or Strict."),
    ("force", "boolean", "Take fields over from other managers. For apply patches only."),
    ("gracePeriodSeconds", "integer", "Seconds until the object is removed; zero is at once."),
    (
        "ignoreStoreReadErrorWithClusterBreakingPotential",
        "boolean",
        "Delete the object though it cannot be read.",
    ),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "How many objects a list may have at most."),
    ("orphanDependents", "boolean", "Whether dependents stay. Deprecated: use propagationPolicy."),
    ("pretty", "string", "If 'true', the answer is indented."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
    ("resourceVersion", "string", "The resource version that the answer may be of, or begins after."),
    ("resourceVersionMatch", "string", "How the resource version is meant: NotOlderThan or Exact."),
    ("sendInitialEvents", "boolean", "Begin a watch with what there is."),
    ("shardSelector", "string", "Only objects of a range of hashes."),
    ("timeoutSeconds", "integer", "When a list or watch ends."),
    ("watch", "boolean", "Answer with a stream of changes."),
];
const LIST: [&str; 11] = [
    "allowWatchBookmarks",
    "continue",
    "fieldSelector",
    "labelSelector",
    "limit",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "shardSelector",
    "timeoutSeconds",
    "watch",
];
const WRITE: [&str; 3] = ["dryRun", "fieldManager", "fieldValidation"];
const PATCH: [&str; 4] = ["dryRun", "fieldManager", "fieldValidation", "force"];
const DELETE: [&str; 5] = [
    "dryRun",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "orphanDependents",
    "propagationPolicy",
];
const DELETE_MANY: [&str; 14] = [
    "continue",
    "dryRun",
    "fieldSelector",
    "gracePeriodSeconds",
    "ignoreStoreReadErrorWithClusterBreakingPotential",
    "labelSelector",
    "limit",
    "orphanDependents",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "shardSelector",
    "timeoutSeconds",
];

/// Kinds of which a deletion answers with the object instead of a Status.
const RETURNED: [&str; 16] = [
    "PersistentVolumeClaim",
    "Pod",
    "PodTemplate",
    "ResourceQuota",
    "ServiceAccount",
    "Service",
    "PersistentVolume",
    "DeviceClass",
    "ResourceClaim",
    "ResourceClaimTemplate",
    "ResourceSlice",
    "CSIDriver",
    "CSINode",
    "StorageClass",
    "VolumeAttachment",
    "VolumeAttributesClass",
];

/// Kinds with a built-in schema that are served in a group and version.
pub(super) fn served<'r>(registry: &'r Registry, group: &str, version: &str) -> Vec<&'r Kind> {
    let is_served = |kind: &&Kind| {
        &*kind.group == group
            && kind.versions.iter().any(|v| v.served && *v.name == *version)
            && !kind.schema.structural()
    };
    registry.iter().map(|kind| &**kind).filter(is_served).collect()
}

/// What the operations of one kind have in common.
struct Maker<'k, 'c, 'd> {
    kind: &'k Kind,
    version: &'k str,
    components: &'c mut Components<'d>,
    tag: String,
    /// `AppsV1`.
    prefix: String,
}

/// Adds the paths of a kind.
pub(super) fn add(
    kind: &Kind,
    version: &str,
    components: &mut Components<'_>,
    paths: &mut Map<String, Value>,
) {
    let Some(object) = kind.version(version).map(|v| v.object) else { return };
    let (tag, prefix) = names(&kind.group, version);
    let mut maker = Maker { kind, version, components, tag, prefix };
    if kind.verbs.has(Verbs::WATCH) {
        maker.meta("WatchEvent");
    }
    let base = format!("/{}", place(&kind.group, version));
    let list = format!("{base}/{}", kind.plural);
    let within = if kind.namespaced {
        format!("{base}/namespaces/{{namespace}}/{}", kind.plural)
    } else {
        list.clone()
    };
    maker.collection(object, &within, paths);
    if kind.namespaced && kind.verbs.has(Verbs::LIST) {
        paths.insert(list, maker.everywhere());
    }
    maker.item(object, &format!("{within}/{{name}}"), paths);
    for sub in &kind.subresources {
        maker.subresource(sub, &format!("{within}/{{name}}/{}", sub.name), paths);
    }
}

/// Adds the path that lists the resources.
pub(super) fn root(
    group: &str,
    version: &str,
    components: &mut Components<'_>,
    paths: &mut Map<String, Value>,
) {
    let (tag, prefix) = names(group, version);
    let schema = crate::schema::builtin();
    let Some(id) = schema.find(&format!("{META}.APIResourceList")) else { return };
    let list = components.object(schema, id);
    let get = json!({
        "tags": [tag],
        "description": "get available resources",
        "operationId": format!("get{prefix}APIResources"),
        "responses": responses(&["200"], &list, &MEDIA),
    });
    paths.insert(format!("/{}/", place(group, version)), json!({"get": get}));
}

/// `rbacAuthorization_v1` and `RbacAuthorizationV1`.
fn names(group: &str, version: &str) -> (String, String) {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    let camel: String = group.split(['.', '-']).map(upper_first).collect();
    (format!("{}_{version}", lower_first(&camel)), format!("{camel}{}", upper_first(version)))
}

fn upper_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn article(kind: &str) -> &'static str {
    if kind.starts_with(['A', 'E', 'I', 'O', 'U']) { "an" } else { "a" }
}

fn responses(codes: &[&str], schema: &Value, media: &[&str]) -> Value {
    let content: Map<String, Value> =
        media.iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect();
    let word = |code: &str| match code {
        "201" => "Created",
        "202" => "Accepted",
        _ => "OK",
    };
    let mut made: Map<String, Value> = codes
        .iter()
        .map(|code| ((*code).to_owned(), json!({"description": word(code), "content": content})))
        .collect();
    made.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    made.into()
}

fn parameter(name: &str, place: &str, ty: &str, description: &str) -> Value {
    let schema = json!({"type": ty, "uniqueItems": true});
    let mut made = json!({"name": name, "in": place, "description": description, "schema": schema});
    if let (true, Value::Object(map)) = (place == "path", &mut made) {
        map.shift_insert(3, "required".to_owned(), true.into());
    }
    made
}

fn queries(names: &[&str]) -> Vec<Value> {
    let known = |name: &&str| PARAMETERS.iter().find(|(known, ..)| known == name);
    names.iter().filter_map(known).map(|(name, ty, text)| parameter(name, "query", ty, text)).collect()
}

/// One operation.
struct Operation<'a> {
    id: String,
    description: String,
    action: &'a str,
    parameters: &'a [&'a str],
    body: Option<Value>,
    responses: Value,
    /// The kind that it is about, where that is not the resource's.
    kind: Option<(&'a str, &'a str, &'a str)>,
}

impl Maker<'_, '_, '_> {
    fn operation(&self, operation: Operation<'_>) -> Value {
        let mut made = Map::new();
        made.insert("tags".to_owned(), json!([self.tag]));
        made.insert("description".to_owned(), operation.description.into());
        made.insert("operationId".to_owned(), operation.id.into());
        if !operation.parameters.is_empty() {
            made.insert("parameters".to_owned(), queries(operation.parameters).into());
        }
        if let Some(body) = operation.body {
            made.insert("requestBody".to_owned(), body);
        }
        made.insert("responses".to_owned(), operation.responses);
        made.insert("x-kubernetes-action".to_owned(), operation.action.into());
        let (group, version, kind) =
            operation.kind.unwrap_or((&self.kind.group, self.version, &self.kind.kind));
        made.insert(
            "x-kubernetes-group-version-kind".to_owned(),
            json!({"group": group, "version": version, "kind": kind}),
        );
        made.into()
    }

    /// `AppsV1NamespacedDeployment`, with a verb before it.
    fn id(&self, verb: &str) -> String {
        let scope = if self.kind.namespaced { "Namespaced" } else { "" };
        format!("{verb}{}{scope}{}", self.prefix, self.kind.kind)
    }

    fn definition(&mut self, id: TypeId) -> Value {
        self.components.object(&self.kind.schema, id)
    }

    /// Parameters of a path.
    fn parameters(&self, name_of: Option<&str>) -> Vec<Value> {
        let name = name_of.map(|kind| parameter("name", "path", "string", &format!("name of the {kind}")));
        let namespace =
            self.kind.namespaced.then(|| parameter("namespace", "path", "string", "namespace of the object"));
        name.into_iter().chain(namespace).chain(queries(&["pretty"])).collect()
    }

    fn list(&mut self, id: String, parameters: &[&str]) -> Value {
        let found = self.kind.schema.find_kind(&self.kind.group, self.version, &self.kind.list_kind);
        let schema = found.map_or_else(|| json!({}), |id| self.definition(id));
        self.operation(Operation {
            id,
            description: format!("list or watch objects of kind {}", self.kind.kind),
            action: "list",
            parameters,
            body: None,
            responses: responses(&["200"], &schema, &WATCHED),
            kind: None,
        })
    }

    fn everywhere(&mut self) -> Value {
        let id = format!("list{}{}ForAllNamespaces", self.prefix, self.kind.kind);
        let list = self.list(id, &LIST);
        item(Map::from_iter([("get".to_owned(), list)]), queries(&["pretty"]))
    }

    fn collection(&mut self, object: TypeId, path: &str, paths: &mut Map<String, Value>) {
        let kind = self.kind;
        let schema = self.definition(object);
        let mut made = Map::new();
        if kind.verbs.has(Verbs::LIST) {
            made.insert("get".to_owned(), self.list(self.id("list"), &LIST));
        }
        if kind.verbs.has(Verbs::CREATE) {
            let post = Operation {
                id: self.id("create"),
                description: format!("create {} {}", article(&kind.kind), kind.kind),
                action: "post",
                parameters: &WRITE,
                body: Some(body(&schema)),
                responses: responses(&["200", "201", "202"], &schema, &MEDIA),
                kind: None,
            };
            made.insert("post".to_owned(), self.operation(post));
        }
        if kind.verbs.has(Verbs::DELETE_COLLECTION) {
            let scope = if kind.namespaced { "Namespaced" } else { "" };
            let delete = Operation {
                id: format!("delete{}Collection{scope}{}", self.prefix, kind.kind),
                description: format!("delete collection of {}", kind.kind),
                action: "deletecollection",
                parameters: &DELETE_MANY,
                body: Some(self.options()),
                responses: responses(&["200"], &self.status(), &MEDIA),
                kind: None,
            };
            made.insert("delete".to_owned(), self.operation(delete));
        }
        if !made.is_empty() {
            paths.insert(path.to_owned(), item(made, self.parameters(None)));
        }
    }

    fn item(&mut self, object: TypeId, path: &str, paths: &mut Map<String, Value>) {
        let kind = self.kind;
        let schema = self.definition(object);
        let mut made = self.part(&schema, kind.verbs, "", None);
        if kind.verbs.has(Verbs::DELETE) {
            let answer = if RETURNED.contains(&&*kind.kind) { schema } else { self.status() };
            let delete = Operation {
                id: self.id("delete"),
                description: format!("delete {} {}", article(&kind.kind), kind.kind),
                action: "delete",
                parameters: &DELETE,
                body: Some(self.options()),
                responses: responses(&["200", "202"], &answer, &MEDIA),
                kind: None,
            };
            made.insert("delete".to_owned(), self.operation(delete));
        }
        if !made.is_empty() {
            paths.insert(path.to_owned(), item(made, self.parameters(Some(&kind.kind))));
        }
    }

    /// Reading, replacing and patching an object or a part of it.
    fn part(
        &mut self,
        schema: &Value,
        verbs: Verbs,
        sub: &str,
        about: Option<(&str, &str, &str)>,
    ) -> Map<String, Value> {
        let of = if sub.is_empty() { String::new() } else { format!("{sub} of ") };
        let what = format!("{of}the specified {}", self.kind.kind);
        let id = |verb: &str| format!("{}{}", self.id(verb), upper_first(sub));
        let mut made = Map::new();
        let mut operation =
            |method: &str, verb: &str, words: &str, parameters, body, codes: &[&str], action| {
                let operation = self.operation(Operation {
                    id: id(verb),
                    description: format!("{words} {what}"),
                    action,
                    parameters,
                    body,
                    responses: responses(codes, schema, &MEDIA),
                    kind: about,
                });
                made.insert(method.to_owned(), operation);
            };
        if verbs.has(Verbs::GET) {
            operation("get", "read", "read", &[], None, &["200"], "get");
        }
        if verbs.has(Verbs::UPDATE) {
            operation("put", "replace", "replace", &WRITE, Some(body(schema)), &["200", "201"], "put");
        }
        if verbs.has(Verbs::PATCH) {
            let patch = reference(&format!("{META}.Patch"));
            let content: Map<String, Value> =
                PATCHES.iter().map(|media| ((*media).to_owned(), json!({"schema": patch}))).collect();
            let body = json!({"content": content, "required": true});
            operation("patch", "patch", "partially update", &PATCH, Some(body), &["200", "201"], "patch");
            self.components.leaf(&format!("{META}.Patch"), json!({"type": "object"}));
        }
        made
    }

    fn subresource(&mut self, sub: &Subresource, path: &str, paths: &mut Map<String, Value>) {
        let schema = &self.kind.schema;
        // A part of the object is of the object's own version.
        let own = sub.kind == *self.kind.kind && sub.group == *self.kind.group;
        let version = if own { self.version } else { &sub.version };
        let about = (&*sub.group, version, &*sub.kind);
        let found = schema.find_kind(&sub.group, version, &sub.kind);
        let made = match sub.role {
            Role::Connect if sub.name == "log" => self.log(sub),
            Role::Connect => return self.connect(sub, path, paths),
            Role::Action => {
                let Some(id) = found else { return };
                let schema = self.definition(id);
                let post = Operation {
                    id: format!("{}{}", self.id("create"), upper_first(&sub.name)),
                    description: format!(
                        "create {} of {} {}",
                        sub.name,
                        article(&self.kind.kind),
                        self.kind.kind
                    ),
                    action: "post",
                    parameters: &WRITE,
                    body: Some(body(&schema)),
                    responses: responses(&["200", "201", "202"], &schema, &MEDIA),
                    kind: Some(about),
                };
                Map::from_iter([("post".to_owned(), self.operation(post))])
            }
            Role::Part(_) | Role::Scale(_) => {
                let Some(id) = found else { return };
                let schema = self.definition(id);
                self.part(&schema, sub.verbs, &sub.name, Some(about))
            }
        };
        let mut parameters = self.parameters(Some(&sub.kind));
        if sub.name == "log" {
            parameters.extend(self.option_fields("PodLogOptions"));
        }
        paths.insert(path.to_owned(), item(made, parameters));
    }

    fn log(&self, sub: &Subresource) -> Map<String, Value> {
        let media = [MEDIA.as_slice(), &["text/plain"]].concat();
        let get = Operation {
            id: format!("{}Log", self.id("read")),
            description: format!("read {} of the specified {}", sub.name, self.kind.kind),
            action: "get",
            parameters: &[],
            body: None,
            responses: responses(&["200"], &json!({"type": "string"}), &media),
            kind: None,
        };
        Map::from_iter([("get".to_owned(), self.operation(get))])
    }

    fn connect(&self, sub: &Subresource, path: &str, paths: &mut Map<String, Value>) {
        let proxy = sub.name == "proxy";
        let methods: &[&str] = if proxy {
            &["get", "put", "post", "delete", "options", "head", "patch"]
        } else {
            &["get", "post"]
        };
        let about = (&*sub.group, &*sub.version, &*sub.kind);
        for (suffix, tail) in [("", ""), ("WithPath", "/{path}")].into_iter().take(if proxy { 2 } else { 1 })
        {
            let mut made = Map::new();
            for method in methods {
                let scope = if self.kind.namespaced { "Namespaced" } else { "" };
                let (verb, name) = (upper_first(method), upper_first(&sub.name));
                let operation = Operation {
                    id: format!("connect{}{verb}{scope}{}{name}{suffix}", self.prefix, self.kind.kind),
                    description: format!(
                        "connect {} requests to {} of {}",
                        method.to_uppercase(),
                        sub.name,
                        self.kind.kind
                    ),
                    action: "connect",
                    parameters: &[],
                    body: None,
                    responses: responses(&["200"], &json!({"type": "string"}), &["*/*"]),
                    kind: Some(about),
                };
                made.insert((*method).to_owned(), self.operation(operation));
            }
            let mut parameters = self.parameters(Some(&sub.kind));
            parameters.pop();
            if !tail.is_empty() {
                parameters.push(parameter("path", "path", "string", "path to the resource"));
            }
            parameters.extend(self.option_fields(&sub.kind));
            paths.insert(format!("{path}{tail}"), item(made, parameters));
        }
    }

    /// The fields of a connection's options, which come as parameters.
    fn option_fields(&self, options: &str) -> Vec<Value> {
        let Some(id) = self.kind.schema.find(&format!("io.k8s.api.core.v1.{options}")) else {
            return Vec::new();
        };
        let object = self.kind.schema.object(id);
        let one = |field: &Field| {
            let ty = match &field.ty {
                Type::Scalar(Scalar::Bool) => "boolean",
                Type::Scalar(Scalar::Int32 | Scalar::Int64) => "integer",
                Type::List(item) if matches!(**item, Type::Scalar(Scalar::Int32)) => "integer",
                _ => "string",
            };
            let text = self.components.description(&object.definition, &field.name).unwrap_or_default();
            parameter(&field.name, "query", ty, text)
        };
        // A point in time has no form as a parameter.
        let fields = object.fields.iter().filter(|f| f.number != 0 && f.ty != Type::Scalar(Scalar::Time));
        fields.map(one).collect()
    }

    fn options(&mut self) -> Value {
        json!({"content": {"*/*": {"schema": self.meta("DeleteOptions")}}})
    }

    fn status(&mut self) -> Value {
        self.meta("Status")
    }

    /// A reference to a type that every group has.
    fn meta(&mut self, name: &str) -> Value {
        let schema = crate::schema::builtin();
        let found = schema.find(&format!("{META}.{name}"));
        found.map_or_else(|| json!({}), |id| self.components.object(schema, id))
    }
}

/// A path with its operations; parameters that all of them have are the path's.
fn item(mut operations: Map<String, Value>, mut parameters: Vec<Value>) -> Value {
    let of = |operation: &Value| operation["parameters"].as_array().cloned().unwrap_or_default();
    let mut common = operations.values().next().map(of).unwrap_or_default();
    common.retain(|parameter| operations.values().all(|operation| of(operation).contains(parameter)));
    for operation in operations.values_mut().filter_map(Value::as_object_mut) {
        if let Some(Value::Array(own)) = operation.get_mut("parameters") {
            own.retain(|parameter| !common.contains(parameter));
            if own.is_empty() {
                operation.shift_remove("parameters");
            }
        }
    }
    parameters.extend(common);
    parameters.sort_by_key(|parameter| parameter["name"].as_str().map(str::to_owned));
    operations.insert("parameters".to_owned(), parameters.into());
    operations.into()
}

fn body(schema: &Value) -> Value {
    json!({"content": {"*/*": {"schema": schema}}, "required": true})
}
