//! Tables (`meta.k8s.io`): how objects are shown as rows, written straight into bytes.

use serde_json::{Value, json};

use crate::kind::{About, Column, Kind};

/// What goes along with each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    /// The object's metadata.
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    None,
}

impl Include {
    /// Reads `includeObject`. Gives upstream's words for what is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::None),
            _ => Err(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {text:?}: must be 'Metadata', 'Object', 'None', or empty"
            )),
        }
    }
}

/// Metadata of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListMeta {
    /// The revision it was read at.
    pub resource_version: String,
    /// Where to go on; empty at the end.
    pub continue_token: String,
    /// How many objects are left behind this page, where that is known.
    pub remaining: Option<u64>,
}

impl ListMeta {
    /// As JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let mut fields = serde_json::Map::new();
        if !self.resource_version.is_empty() {
            fields.insert("resourceVersion".to_owned(), self.resource_version.clone().into());
        }
        if !self.continue_token.is_empty() {
            fields.insert("continue".to_owned(), self.continue_token.clone().into());
        }
        if let Some(remaining) = self.remaining {
            fields.insert("remainingItemCount".to_owned(), remaining.into());
        }
        Value::Object(fields).to_string()
    }
}

/// Everything up to the first row. `columns` are left out (`null`) in a watch's later events.
#[must_use]
pub fn head(api_version: &str, meta: &ListMeta, columns: Option<&[Value]>) -> String {
    let columns = columns.map_or(Value::Null, |columns| columns.to_vec().into());
    format!(
        "{{\"kind\":\"Table\",\"apiVersion\":\"{api_version}\",\"metadata\":{},\"columnDefinitions\":{columns},\"rows\":[",
        meta.json()
    )
}

/// What closes a table.
pub const TAIL: &str = "]}";

/// A kind's columns. `about` tells what the documentation says of a field of a type.
#[must_use]
pub fn columns(kind: &Kind, about: impl Fn(&str, &str) -> String) -> Vec<Value> {
    kind.table.columns.iter().map(|column| definition(column, &about)).collect()
}

fn definition(column: &Column, about: impl Fn(&str, &str) -> String) -> Value {
    let description = match &column.about {
        About::Field(of, field) => about(of, field),
        About::Text(text) => text.clone().into_owned(),
    };
    json!({
        "name": column.name,
        "type": column.kind,
        "format": column.format,
        "description": description,
        "priority": column.priority,
    })
}

/// Writes a row. `object` is the JSON that goes along, already as [`Include`] says.
pub fn push_row(out: &mut Vec<u8>, cells: Vec<Value>, conditions: &[Value], object: Option<&[u8]>) {
    out.extend_from_slice(b"{\"cells\":");
    out.extend_from_slice(Value::Array(cells).to_string().as_bytes());
    push_conditions(out, conditions);
    out.extend_from_slice(b",\"object\":");
    out.extend_from_slice(object.unwrap_or(b"null"));
    out.push(b'}');
}

fn push_conditions(out: &mut Vec<u8>, conditions: &[Value]) {
    if !conditions.is_empty() {
        out.extend_from_slice(b",\"conditions\":");
        out.extend_from_slice(Value::Array(conditions.to_vec()).to_string().as_bytes());
    }
}

/// The conditions of a row: of a Pod that ended, that it did.
#[must_use]
pub fn conditions(kind: &Kind, object: &Value) -> Vec<Value> {
    if !kind.group.is_empty() || *kind.kind != *"Pod" {
        return Vec::new();
    }
    let (reason, message) = match crate::meta::str_at(object, "status.phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return Vec::new(),
    };
    vec![json!({"type": "Completed", "status": "True", "reason": reason, "message": message})]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_written_as_upstream_writes_it() {
        let meta = ListMeta { resource_version: "7".to_owned(), remaining: Some(3), ..ListMeta::default() };
        let mut out = head("meta.k8s.io/v1", &meta, None).into_bytes();
        push_row(&mut out, vec!["a".into(), 1.into()], &[], Some(b"{}"));
        out.push(b',');
        push_row(&mut out, vec![Value::Null], &[json!({"type": "Completed"})], None);
        out.extend_from_slice(TAIL.as_bytes());
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"7","remainingItemCount":3},"columnDefinitions":null,"rows":[{"cells":["a",1],"object":{}},{"cells":[null],"conditions":[{"type":"Completed"}],"object":null}]}"#
        );
    }

    #[test]
    fn what_goes_along_is_one_of_three() {
        assert_eq!(Include::parse(""), Ok(Include::Metadata));
        assert_eq!(Include::parse("None"), Ok(Include::None));
        assert!(Include::parse("All").is_err());
    }
}
