//! JSON Schema of policies, policy tests and `mdetag.yaml` for editors, generated from the readers' tables.
//!
//! Says what a schema can say. `resolve` checks the rest: names that must exist, tags in two families, sets that do not settle.

use serde_json::{Map, Value, json};

use super::keys;
use super::operators::{Operand, operators};
use super::shape::{MappingKey, Shape};
use crate::device::{Field, Kind};

/// The schema of policy files.
pub fn policy_schema() -> Value {
    document("mdetag policy", keys::POLICY)
}

/// The schema of policy test files.
pub fn test_schema() -> Value {
    document("mdetag policy test", keys::TEST_FILE)
}

/// The schema of `mdetag.yaml`.
pub fn settings_schema() -> Value {
    document("mdetag.yaml", keys::SETTINGS)
}

/// Draft 7, because editors' YAML servers understand it best.
fn document(title: &str, keys: &'static [MappingKey]) -> Value {
    let mut schema = mapping(keys);
    schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
    schema["title"] = title.into();
    if !std::ptr::eq(keys, keys::SETTINGS) {
        schema["patternProperties"] =
            json!({ "^x-": { "description": "Free for your own use, such as anchors." } });
    }
    let mut known = Map::new();
    known.insert("selector".to_owned(), selector());
    known.insert("device".to_owned(), device());
    known.extend(conditions());
    let used = used_definitions(&schema, &known);
    if !used.is_empty() {
        schema["definitions"] = used.into();
    }
    schema
}

/// The definitions that a schema refers to, directly or through others.
fn used_definitions(schema: &Value, known: &Map<String, Value>) -> Map<String, Value> {
    let mut used = Map::new();
    let mut open = references(schema);
    while let Some(name) = open.pop() {
        let Some(definition) = known.get(&name).filter(|_| !used.contains_key(&name)) else { continue };
        open.extend(references(definition));
        used.insert(name, definition.clone());
    }
    used
}

/// The names of the definitions that a value refers to.
fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => {
            let own = map.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix(DEFINITIONS));
            map.values().flat_map(references).chain(own.map(str::to_owned)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The JSON pointer of the definitions.
const DEFINITIONS: &str = "#/definitions/";

/// The definition of a field's condition. Fields with the same conditions share one, named after the first of them.
fn definition(field: Field) -> String {
    let of_field = condition(field);
    let first = Field::ALL.iter().find(|other| condition(**other) == of_field);
    let name = first.map_or("lookup", |first| first.name());
    format!("conditionOf.{name}")
}

/// The conditions of all fields, each written once, because most fields share theirs.
fn conditions() -> Map<String, Value> {
    let fields = Field::ALL.iter().copied().chain([LOOKUP]);
    fields.map(|field| (definition(field), condition(field))).collect()
}

/// Any column of any lookup.
const LOOKUP: Field = Field::Lookup { lookup: 0, column: 0 };

fn mapping(keys: &'static [MappingKey]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut value = shape(&key.shape);
        value["description"] = key.about.into();
        properties.insert(key.name.to_owned(), value);
    }
    let required: Vec<&str> = keys.iter().filter(|key| key.is_required).map(|key| key.name).collect();
    let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        schema["required"] = required.into();
    }
    let needs = |names: &[&str]| names.iter().map(|name| json!({ "required": [name] })).collect::<Vec<_>>();
    // Compared by names and not by address, because the compiler may place a table at several addresses.
    let is = |other: &[MappingKey]| keys.iter().map(|key| key.name).eq(other.iter().map(|key| key.name));
    if is(keys::RULE) {
        schema["anyOf"] = needs(&["tags", "removeTags", "deviceValue"]).into();
    } else if is(keys::LOOKUP) {
        schema["oneOf"] = needs(&["file", "hunting"]).into();
    } else if is(keys::HUNTING) || is(keys::LOOKUP_HUNTING) {
        schema["oneOf"] = needs(&["query", "queryFile"]).into();
    } else if is(keys::INVARIANT) {
        schema["oneOf"] = needs(&["tag", "deviceValue", "group"]).into();
        schema["anyOf"] = needs(&["atLeast", "atMost"]).into();
    } else if is(keys::CAP) || is(keys::CAP_WITH_DAY) || is(keys::EXPECT) {
        schema["minProperties"] = 1.into();
    }
    schema
}

fn shape(shape: &'static Shape) -> Value {
    match shape {
        Shape::Version => json!({ "const": 1 }),
        Shape::Text | Shape::Path => json!({ "type": "string", "minLength": 1 }),
        Shape::Tag => json!({ "type": "string", "minLength": 1, "maxLength": 200 }),
        Shape::TagOrGlob | Shape::TagTemplate => json!({ "type": "string", "minLength": 1 }),
        Shape::Integer => json!({ "type": "integer" }),
        Shape::Count => json!({ "type": "integer", "minimum": 0 }),
        Shape::Positive => json!({ "type": "integer", "minimum": 1 }),
        Shape::Percent => json!({ "anyOf": [
            { "type": "number", "minimum": 0, "maximum": 100 },
            { "type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,4})? *%?$" },
        ] }),
        Shape::Quantity => json!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,4})? *%$" },
        ] }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Date => json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$" }),
        Shape::Time => json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}" }),
        Shape::Words(words) => json!({ "enum": words }),
        Shape::Selector => json!({ "$ref": "#/definitions/selector" }),
        Shape::List(item) => json!({ "type": "array", "items": self::shape(item) }),
        Shape::Named(value) => json!({ "type": "object", "additionalProperties": self::shape(value) }),
        Shape::Mapping(keys) => mapping(keys),
        Shape::Device => json!({ "$ref": "#/definitions/device" }),
        Shape::Cell => json!({ "type": ["string", "null"] }),
    }
}

fn selector() -> Value {
    let one = json!({ "$ref": "#/definitions/selector" });
    let some = json!({ "type": "array", "minItems": 1, "items": one });
    let mut properties = Map::new();
    let mut add = |name: &str, about: &str, mut value: Value| {
        value["description"] = about.into();
        properties.insert(name.to_owned(), value);
    };
    add("all", "All of these must hold.", some.clone());
    add("any", "At least one of these must hold.", some);
    add("not", "This must not hold.", one);
    add("use", "Every named selector must hold.", one_or_many(json!({ "type": "string" })));
    add(
        "superseded",
        "Another device in scope has the same value, and this one is not the one kept.",
        mapping(keys::SUPERSEDED),
    );
    add("hunting", "The device's id is in the result of an advanced-hunting query.", mapping(keys::HUNTING));
    add("everything", "Every device.", json!({ "const": true }));
    for field in Field::ALL {
        let condition = format!("{DEFINITIONS}{}", definition(*field));
        // Draft 7 ignores everything beside a reference.
        add(field.name(), field.about(), json!({ "allOf": [{ "$ref": condition }] }));
    }
    json!({
        "type": "object",
        "minProperties": 1,
        "properties": properties,
        "patternProperties": { r"^lookup\.[^.]+\..+$": json!({ "$ref": format!("{DEFINITIONS}{}", definition(LOOKUP)) }) },
        "additionalProperties": false,
    })
}

/// Shorthand, list, or a mapping of operators.
fn condition(field: Field) -> Value {
    let kind = field.kind();
    let mut forms = Vec::new();
    let value = value(field, "eq");
    if kind != Kind::Time {
        forms.push(value.clone());
        if kind != Kind::Boolean {
            forms.push(json!({ "type": "array", "minItems": 1, "items": value }));
        }
    }
    let operators = operators(kind).iter().map(|(name, operand)| {
        let one = self::value(field, name);
        let schema = match operand {
            Operand::One => one,
            Operand::Many => json!({ "type": "array", "minItems": 1, "items": one }),
            Operand::OneOrMany => one_or_many(one),
            Operand::Boolean => json!({ "type": "boolean" }),
            Operand::File => {
                json!({ "anyOf": [{ "type": "string", "minLength": 1 }, mapping(keys::IN_FILE)] })
            }
        };
        ((*name).to_owned(), schema)
    });
    let operators: Map<String, Value> = operators.collect();
    forms.push(json!({ "type": "object", "minProperties": 1, "properties": operators, "additionalProperties": false }));
    json!({ "anyOf": forms })
}

fn one_or_many(one: Value) -> Value {
    json!({ "anyOf": [one, { "type": "array", "minItems": 1, "items": one }] })
}

fn value(field: Field, operator: &str) -> Value {
    match (field.kind(), operator) {
        (Kind::Integer, _) => json!({ "type": "integer" }),
        (Kind::Boolean, _) => json!({ "type": "boolean" }),
        (Kind::Time, "within" | "olderThan") => json!({ "type": "string", "pattern": "^[0-9]+[smhdw]$" }),
        (Kind::Time, _) => json!({ "type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}" }),
        (Kind::Tags, "matches") => json!({ "type": "string", "minLength": 1 }),
        (Kind::Tags, _) => json!({ "type": "string", "minLength": 1, "maxLength": 200 }),
        // Enumerations of the service are open: the schema suggests the known words and allows others.
        (Kind::Text, "eq" | "in") if !field.known_values().is_empty() => {
            json!({ "anyOf": [{ "enum": field.known_values() }, { "type": "string" }] })
        }
        _ => json!({ "type": "string" }),
    }
}

/// A device of a test.
fn device() -> Value {
    let mut properties = Map::new();
    for field in Field::ALL {
        let value = match field.kind() {
            Kind::Integer => json!({ "type": ["integer", "null"] }),
            Kind::Boolean => json!({ "type": ["boolean", "null"] }),
            Kind::Tags | Kind::Hardware => list_or_text(),
            Kind::Address if *field == Field::IpAddresses => list_or_text(),
            _ => json!({ "type": ["string", "null"] }),
        };
        let mut value = value;
        value["description"] = field.about().into();
        properties.insert(field.name().to_owned(), value);
    }
    let nested = Field::ALL.iter().filter_map(|field| field.name().strip_prefix("vmMetadata."));
    let nested: Map<String, Value> =
        nested.map(|name| (name.to_owned(), json!({ "type": ["string", "null"] }))).collect();
    properties.insert(
        "vmMetadata".to_owned(),
        json!({ "type": "object", "properties": nested, "additionalProperties": false }),
    );
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn list_or_text() -> Value {
    json!({ "anyOf": [{ "type": "array", "items": { "type": "string" } }, { "type": ["string", "null"] }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Severity, Sources};
    use crate::time::Timestamp;

    fn is_valid(schema: &Value, yaml: &str) -> bool {
        let instance: Value = serde_yaml::from_str(yaml).unwrap();
        jsonschema::validator_for(schema).unwrap().is_valid(&instance)
    }

    #[test]
    fn the_schema_and_the_reader_agree() {
        let schema = policy_schema();
        let agreed = [
            "claims: [Tier0]",
            "claims: Tier0",
            "claims: [1]",
            "clams: []",
            "x-own: 3",
            "scope: {}",
            "scope: { everything: true }",
            "scope: { everything: false }",
            "scope: { osPlatform: Windows11, osBuild: { atLeast: 22631, exists: true } }",
            "scope: { osPlatform: [] }",
            "scope: { osplatform: a }",
            "scope: { osPlatform: { startWith: a } }",
            "scope: { osPlatform: 11 }",
            "scope: { isExcluded: [true] }",
            "scope: { isExcluded: true }",
            "scope: { lastSeen: 30d }",
            "scope: { lastSeen: { within: 30d } }",
            "scope: { lastSeen: { within: 30 } }",
            "scope: { machineTags: { hasAny: X } }",
            "scope: { machineTags: { hasAny: [X], matches: 'a*' } }",
            "scope: { any: [{ id: a }, {}] }",
            "scope: { use: [] }",
            "scope: { superseded: { by: id } }",
            "scope: { hunting: { query: a, queryFile: b } }",
            "scope: { hunting: { query: a } }",
            "lookups: { c: { hunting: { query: a }, key: b, match: id, onConflict: missing } }",
            "lookups: { c: { hunting: { query: a, allowEmpty: true }, key: b, match: id } }",
            "rules: [{ name: r, select: { id: a } }]",
            "rules: [{ name: r, select: { id: a }, tags: [T] }]",
            "rules: [{ name: r, select: { id: a }, deviceValue: high }]",
            "rules: [{ name: r, select: { id: a }, deviceValue: High, until: 2027-06-30, priority: 3 }]",
            "rules: [{ select: { id: a }, tags: [T] }]",
            "deviceValue: { default: Normal }",
            "deviceValue: Normal",
            "protect: [{ name: p, select: { id: a }, reason: b }]",
            "protect: [{ name: p }]",
            "guard: { caps: { removals: { percent: 5, floor: 20 }, values: { percent: 2.5% } }, inventory: { min: 5, maxShrink: 10% } }",
            "guard: { caps: { removals: {} } }",
            "guard: { caps: { removals: { day: { percent: 20 } }, values: { floor: 5, day: { floor: 9 } } } }",
            "guard: { caps: { removals: { day: {} } } }",
            "guard: { caps: { devices: { day: { floor: 9 } } } }",
            "guard: { caps: { removal: { floor: 1 } } }",
            "guard: { caps: { removals: { percent: 101 } } }",
            "guard: { invariants: [{ name: a, tag: T, atLeast: 4 }, { name: b, deviceValue: High, atMost: 5% }] }",
            "guard: { invariants: [{ name: a, tag: T }] }",
            "guard: { invariants: [{ name: a, tag: T, deviceValue: High, atLeast: 1 }] }",
            "guard: { approvals: [{ cap: removals, max: 8, expires: 2027-01-01 }] }",
            "guard: { approvals: [{ cap: removals, max: 8 }] }",
            "guard: { accept: [{ tag: Old, reason: registry, expires: 2027-01-01 }] }",
            "guard: { accept: [{ tag: \"old-*\", select: { osPlatform: Linux }, reason: r, expires: 2027-01-01 }] }",
            "guard: { accept: [{ tag: Old, expires: 2027-01-01 }] }",
            "guard: { accept: [{ reason: registry, expires: 2027-01-01 }] }",
            "guard: { accept: { tag: Old, reason: registry, expires: 2027-01-01 } }",
            "guard: { rollout: { waves: [25, 10%, 100%] } }",
            "guard: { rollout: { from: 10, waves: [5], first: { machineTags: { has: Canary } }, wait: 2h, stopAt: { failed: 2%, bounced: 5 }, health: { select: { healthStatus: NoSensorData }, atMost: 5% } } }",
            "guard: { rollout: {} }",
            "guard: { rollout: { waves: 10% } }",
            "guard: { rollout: { waves: [5], wait: 2 } }",
            "guard: { rollout: { waves: [5], stopAt: { failed: 101 } } }",
            "guard: { rollout: { waves: [5], health: { atMost: 5% } } }",
            "guard: { rollout: { wave: [5] } }",
            "lookups: { c: { file: a.txt, key: b, match: osPlatform } }",
            "lookups: { c: { hunting: { query: a, column: c }, key: b, match: id } }",
            "lookups: { c: { hunting: { query: a }, file: a.csv, key: b, match: id } }",
            "lookups: { c: { key: b, match: id } }",
            "families: { f: A }",
            "renames: { A: [B] }",
        ];
        for text in agreed {
            let text = format!("version: 1\n{text}\n");
            let (_, findings) = crate::policy::resolve(
                &Sources::from_text("p.yaml", &text),
                crate::tag::TagCase::Exact,
                Timestamp::EPOCH,
            );
            let errors: Vec<_> =
                findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
            assert_eq!(is_valid(&schema, &text), errors.is_empty(), "{text}{errors:#?}");
        }
        assert!(!is_valid(&schema, "claims: []\n"), "the version is required");
    }

    #[test]
    fn a_schema_holds_the_definitions_that_it_uses_and_no_others() {
        for (schema, most) in
            [(policy_schema(), 120_000), (test_schema(), 20_000), (settings_schema(), 20_000)]
        {
            let mut used: Vec<String> = references(&schema);
            used.sort();
            used.dedup();
            let defined: Vec<String> = schema["definitions"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect();
            assert_eq!(used, defined, "{}", schema["title"]);
            let length = format!("{schema:#}").len();
            assert!(length < most, "{} has {length} bytes", schema["title"]);
        }
    }

    #[test]
    fn tests_and_settings_have_schemas() {
        let test = "version: 1\nnow: 2026-11-22\ntests:\n  - { name: a, device: { machineTags: [X], osBuild: 1, vmMetadata: { vmId: a } }, \
                    lookup: { c: { owner: x } }, expect: { tags: [T], removes: [], deviceValue: High, rules: [r] } }\n";
        assert!(is_valid(&test_schema(), test));
        assert!(!is_valid(&test_schema(), &test.replace("osBuild", "osbuild")));
        assert!(!is_valid(&test_schema(), &test.replace("tags: [T]", "tag: [T]")));
        assert!(is_valid(&settings_schema(), "version: 1\n"));
        assert!(!is_valid(&settings_schema(), "version: 1\ntenant: {}\n"));
    }
}
