//! The shape of a schema: an arena of object types, each a list of fields in output order.
//!
//! One model for both sources: the generated tables of built-in kinds (which know protobuf
//! numbers, Go's names and `omitempty`) and a custom resource's structural schema (which
//! knows bounds and patterns). It holds facts and answers look-ups; decoding, merging and
//! printing are elsewhere and are driven by it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// Place of an [`Object`] in its [`Schema`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

/// All object types that one set of kinds is made of.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    objects: Vec<Object>,
    by_definition: BTreeMap<Arc<str>, TypeId>,
    by_kind: BTreeMap<GroupVersionKind, TypeId>,
    /// Whether an object type, or one that it holds, has a field with a default.
    defaulted: Vec<bool>,
    structural: bool,
}

/// Group (empty for the first one), version and kind of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupVersionKind {
    /// `apps`, or nothing.
    pub group: Arc<str>,
    /// `v1`.
    pub version: Arc<str>,
    /// `Deployment`.
    pub kind: Arc<str>,
}

/// An object with named fields: a Go struct, or an `object` of a structural schema.
#[derive(Debug, Clone, Default)]
pub struct Object {
    /// Name of its OpenAPI definition, `io.k8s.api.core.v1.PodSpec`; empty for a nested
    /// object of a custom resource.
    pub definition: Arc<str>,
    /// Go's name, `PodSpec`: decode errors are worded with it.
    pub name: Arc<str>,
    /// In the order in which they are printed. Inlined objects' fields are here too, at
    /// their place, so that JSON needs one look-up; [`Field::place`] keeps the embedding
    /// for protobuf.
    pub fields: Vec<Field>,
    /// Kinds whose objects are of this type. None for options, which every group has.
    pub kinds: Vec<GroupVersionKind>,
    /// Whether upstream's OpenAPI documents list it.
    pub listed: bool,
    /// `x-kubernetes-unions`, which only OpenAPI documents carry.
    pub unions: Option<Box<Value>>,
    /// Whether fields that are not listed are kept (`x-kubernetes-preserve-unknown-fields`).
    pub preserve_unknown: bool,
    /// Whether it is replaced as a whole by apply (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Positions of the fields that are printed where they are absent, in order.
    shown: Vec<u16>,
    /// Fields by JSON name: positions in `fields`, sorted by name.
    index: Vec<u16>,
}

/// One field of an object.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in JSON.
    pub name: Arc<str>,
    /// Its type.
    pub ty: Type,
    /// Its number in protobuf; 0 where it has none.
    pub number: u16,
    /// Where protobuf keeps it.
    pub place: Place,
    /// Whether it may be absent when printed.
    pub omit: Omit,
    /// Whether Go holds it by pointer, so that absent, `null` and zero are told apart.
    pub pointer: bool,
    /// Whether OpenAPI lists it under `required`.
    pub required: bool,
    /// How a strategic merge patch treats it.
    pub patch: MergeStrategy,
    /// How apply treats it, where it is a list.
    pub list: ListType,
    /// Whether apply treats the map or object here as one value.
    pub atomic: bool,
    /// The value given to it where it is absent.
    pub default: Option<Value>,
    /// Bounds and patterns.
    pub rules: Option<Box<Rules>>,
    /// Go's type where it has a name of its own (`v1.PodPhase`): decode errors are worded with it.
    pub go: Option<Arc<str>>,
    /// Go's names of the inlined objects that it came in, outermost first, joined by dots.
    pub embedded: Option<Arc<str>>,
    /// What OpenAPI says beyond what is applied.
    pub published: Published,
}

/// What OpenAPI documents say about a field beyond what has a meaning to the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// `x-kubernetes-list-type` is given, also where it is `atomic`, which it is anyway.
    pub list_type: bool,
    /// `x-kubernetes-map-type` of the field itself.
    pub map_type: Option<Arc<str>>,
    /// The default that the document names, beyond the marks it gives to what Go holds in
    /// place. The one that is applied is [`Field::default`].
    pub default: Option<Value>,
}

/// Where protobuf keeps a field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Place {
    /// In the message itself, under the field's own number.
    #[default]
    Own,
    /// In a message that JSON does not show: Go's inlined struct, held under this number.
    Within(u16),
    /// In such a message within such a message: the outer number first.
    Deep(u16, u16),
    /// In JSON alone (`apiVersion` and `kind` travel in protobuf's envelope).
    JsonOnly,
}

/// When a field is left out of the output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Omit {
    /// Always printed.
    Never,
    /// `omitempty`: false, 0, "", nil pointer, empty list or map.
    #[default]
    Empty,
    /// `omitzero`: the type's zero value only, so that an empty list is printed.
    Zero,
}

/// A type of value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// A value without parts.
    Scalar(Scalar),
    /// An object with named fields.
    Object(TypeId),
    /// A list.
    List(Box<Type>),
    /// A map from strings.
    Map(Box<Type>),
    /// Any JSON: RawExtension, JSON, FieldsV1.
    Any,
    /// An object, or something simpler in its place: JSON schemas in a custom resource's
    /// definition have such fields, and nothing else has.
    Or(Alternative, TypeId),
}

/// What may stand in the place of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative {
    /// true or false.
    Bool,
    /// A list of such objects.
    List,
    /// A list of strings.
    Strings,
}

/// A value without parts, by the rules of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// true or false.
    Bool,
    /// 32 bits, signed.
    Int32,
    /// 64 bits, signed.
    Int64,
    /// IEEE 754, 64 bits.
    Float64,
    /// UTF-8 text.
    String,
    /// Base64 in JSON.
    Bytes,
    /// RFC 3339, whole seconds, UTC.
    Time,
    /// RFC 3339 with six digits of a second.
    MicroTime,
    /// Go's duration text, `1m30s`.
    Duration,
    /// A decimal with a suffix, kept in canonical form: `1500m`, `1Gi`.
    Quantity,
    /// A 32-bit integer or a string.
    IntOrString,
}

/// How a strategic merge patch treats a field (`x-kubernetes-patch-strategy`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MergeStrategy {
    /// Merge the list instead of replacing it.
    pub merge: bool,
    /// `replace`: an object is replaced instead of merged.
    pub replace: bool,
    /// `retainKeys`: keys that the patch does not list are removed.
    pub retain_keys: bool,
    /// Key of the merged list's objects; none for a list of scalars.
    pub key: Option<Arc<str>>,
}

/// How apply treats a list (`x-kubernetes-list-type`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ListType {
    /// One value.
    #[default]
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Objects, told apart by these fields.
    Map(Vec<Arc<str>>),
}

/// What a value must obey beyond its type (OpenAPI's validation words).
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The only values allowed.
    pub enumeration: Vec<Value>,
    /// OpenAPI's `format`, where [`Scalar`] does not say it already.
    pub format: Option<Arc<str>>,
    /// A regular expression that a string must match.
    pub pattern: Option<Arc<str>>,
    /// Smallest number, and whether it is itself excluded.
    pub minimum: Option<(f64, bool)>,
    /// Largest number, and whether it is itself excluded.
    pub maximum: Option<(f64, bool)>,
    /// A number must be a multiple of this.
    pub multiple_of: Option<f64>,
    /// Fewest characters, items or properties.
    pub at_least: Option<u64>,
    /// Most characters, items or properties.
    pub at_most: Option<u64>,
    /// Items must differ.
    pub unique: bool,
    /// `null` is a value.
    pub nullable: bool,
}

impl Schema {
    /// An empty schema for a custom resource: what it leaves open is read with the same care.
    #[must_use]
    pub fn for_custom_resource() -> Self {
        Self { structural: true, ..Self::default() }
    }

    /// Whether it is a custom resource's: built-in kinds take what is open as it is.
    #[must_use]
    pub fn structural(&self) -> bool {
        self.structural
    }

    /// Adds an object type under its definition's name and gives its place. A second one of
    /// the same name takes the first one's place.
    pub fn add(&mut self, mut object: Object) -> TypeId {
        object.sort();
        let kinds = object.kinds.clone();
        let id = self.place(object);
        self.by_kind.extend(kinds.into_iter().map(|kind| (kind, id)));
        id
    }

    fn place(&mut self, object: Object) -> TypeId {
        if let Some(&id) = self.by_definition.get(&object.definition) {
            self.objects[id.0 as usize] = object;
            return id;
        }
        let id = TypeId(u32::try_from(self.objects.len()).unwrap_or(u32::MAX));
        if !object.definition.is_empty() {
            self.by_definition.insert(Arc::clone(&object.definition), id);
        }
        self.objects.push(object);
        id
    }

    /// Notes which object types have defaults somewhere within; to be called after the last
    /// [`Schema::add`], so that [`Schema::has_defaults`] holds.
    pub fn settle_defaults(&mut self) {
        self.defaulted = self.objects.iter().map(|o| o.fields.iter().any(Field::is_filled)).collect();
        loop {
            let holds = |object: &Object| {
                let mut types = object.fields.iter().filter_map(|field| field.ty.object());
                types.any(|id| self.defaulted[id.0 as usize])
            };
            let next: Vec<bool> =
                self.objects.iter().zip(&self.defaulted).map(|(o, d)| *d || holds(o)).collect();
            if next == self.defaulted {
                return;
            }
            self.defaulted = next;
        }
    }

    /// Whether a field of an object type, or of one within it, has a default.
    #[must_use]
    pub fn has_defaults(&self, id: TypeId) -> bool {
        self.defaulted.get(id.0 as usize).copied().unwrap_or(true)
    }

    /// The object type at `id`, which this schema gave.
    #[must_use]
    pub fn object(&self, id: TypeId) -> &Object {
        &self.objects[id.0 as usize]
    }

    /// The object type of an OpenAPI definition.
    #[must_use]
    pub fn find(&self, definition: &str) -> Option<TypeId> {
        self.by_definition.get(definition).copied()
    }

    /// The object type of a kind; the first group has no name.
    #[must_use]
    pub fn find_kind(&self, group: &str, version: &str, kind: &str) -> Option<TypeId> {
        let key = GroupVersionKind { group: group.into(), version: version.into(), kind: kind.into() };
        self.by_kind.get(&key).copied()
    }

    /// Every kind with its object type.
    pub fn kinds(&self) -> impl Iterator<Item = (&GroupVersionKind, TypeId)> {
        self.by_kind.iter().map(|(kind, id)| (kind, *id))
    }

    /// All named object types, by definition.
    pub fn definitions(&self) -> impl Iterator<Item = (&str, TypeId)> {
        self.by_definition.iter().map(|(name, id)| (&**name, *id))
    }
}

impl Field {
    /// A field that is printed where it is not empty, with nothing else said of it.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, ty: Type) -> Self {
        Self {
            name: name.into(),
            ty,
            number: 0,
            place: Place::Own,
            omit: Omit::Empty,
            pointer: false,
            required: false,
            patch: MergeStrategy::default(),
            list: ListType::Atomic,
            atomic: false,
            default: None,
            rules: None,
            go: None,
            embedded: None,
            published: Published::default(),
        }
    }

    /// Whether defaulting may change it, what is within it apart.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        self.default.is_some() || self.holds_resources()
    }

    /// Whether it holds amounts of resources by name (`ResourceList`).
    #[must_use]
    pub fn holds_resources(&self) -> bool {
        self.go.as_deref() == Some("v1.ResourceList")
    }

    /// Whether Go prints it also where it is absent.
    #[must_use]
    pub fn is_shown(&self) -> bool {
        match self.omit {
            Omit::Never => true,
            Omit::Zero => false,
            Omit::Empty => !self.pointer && self.ty.is_struct(),
        }
    }
}

impl Type {
    /// The object type that it is, or that its items are.
    #[must_use]
    pub fn object(&self) -> Option<TypeId> {
        match self {
            Self::Object(id) | Self::Or(_, id) => Some(*id),
            Self::List(item) | Self::Map(item) => item.object(),
            Self::Scalar(_) | Self::Any => None,
        }
    }

    /// Whether Go holds it as a struct.
    #[must_use]
    pub fn is_struct(&self) -> bool {
        match self {
            Self::Object(_) | Self::Any | Self::Or(..) => true,
            Self::List(_) | Self::Map(_) => false,
            Self::Scalar(scalar) => matches!(
                scalar,
                Scalar::Time | Scalar::MicroTime | Scalar::Duration | Scalar::Quantity | Scalar::IntOrString
            ),
        }
    }
}

impl Object {
    /// The field of a JSON name, exactly as spelled.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.position(name).map(|at| &self.fields[at])
    }

    /// The place in `fields` of a JSON name, exactly as spelled.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        let found = self.index.binary_search_by(|&at| (*self.fields[usize::from(at)].name).cmp(name));
        found.ok().map(|at| usize::from(self.index[at]))
    }

    /// Positions of the fields that Go prints whether they are there or not, in order: those
    /// without `omitempty`, and structs held in place, for which `omitempty` means nothing.
    pub fn shown(&self) -> impl ExactSizeIterator<Item = usize> {
        self.shown.iter().map(|at| usize::from(*at))
    }

    fn sort(&mut self) {
        let places = self.fields.iter().zip(0_u16..);
        self.shown = places.filter(|(field, _)| field.is_shown()).map(|(_, at)| at).collect();
        self.index = (0..u16::try_from(self.fields.len()).unwrap_or(u16::MAX)).collect();
        let fields = &self.fields;
        self.index.sort_by(|&a, &b| fields[usize::from(a)].name.cmp(&fields[usize::from(b)].name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Field {
        Field::new(name, Type::Scalar(Scalar::String))
    }

    #[test]
    fn fields_are_found_by_name_and_kept_in_order() {
        let mut schema = Schema::default();
        let fields = vec![field("kind"), field("apiVersion"), field("metadata")];
        let id = schema.add(Object { definition: "x.Thing".into(), fields, ..Object::default() });
        let thing = schema.object(id);
        assert_eq!(thing.field("apiVersion").map(|f| &*f.name), Some("apiVersion"));
        assert!(thing.field("apiversion").is_none());
        assert_eq!(schema.find("x.Thing"), Some(id));
        assert_eq!(thing.fields[0].name.as_ref(), "kind");
    }
}
