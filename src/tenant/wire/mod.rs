//! The service's own words: routes, bodies, error documents, the head of a list page. Only this module spells "machine".
//!
//! Sends nothing. `inventory` reads devices into columns; this reads only what paging and answer checks need.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use reqwest::Method;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::json;

use mdetag_core::apply::{Call, DeviceState, Rejection, TagAction};
use mdetag_core::device;

use super::http::{Answer, clean};
use super::percent::encode;

mod page;

pub(super) use page::{SketchRow, SplitField, sketch, values};

/// The application that has the device API's roles, under "APIs my organization uses".
pub(super) const RESOURCE_NAME: &str = "WindowsDefenderATP";
/// Its application id, the same in every tenant.
pub(super) const RESOURCE_APP_ID: &str = "fc780465-2017-40d4-a0c5-307022471b92";
pub(super) const ROLE_READ: &str = "Machine.Read.All";
/// Reads and writes.
pub(super) const ROLE_WRITE: &str = "Machine.ReadWrite.All";
/// The delegated counterparts.
pub(super) const SCOPES_READ: [&str; 4] = ["Machine.Read", "Machine.ReadWrite", ROLE_READ, ROLE_WRITE];
pub(super) const SCOPES_WRITE: [&str; 2] = ["Machine.ReadWrite", ROLE_WRITE];
pub(super) const LIST: &str = "/api/machines";

/// The device groups; undocumented, known only from the metadata.
pub(super) const DEVICE_GROUPS: &str = "/api/DeviceGroups";

/// Whether a path is that of the list, in either of its documented forms.
pub(super) fn is_list_path(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    path == LIST || path == "/api/v1.0/machines"
}

/// One page of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ListQuery {
    pub(super) filter: Option<String>,
    pub(super) top: usize,
    pub(super) skip: usize,
}

impl ListQuery {
    pub(super) fn path(&self) -> String {
        let mut path = format!("{LIST}?$top={}", self.top);
        if self.skip > 0 {
            path.push_str(&format!("&$skip={}", self.skip));
        }
        if let Some(filter) = &self.filter {
            path.push_str(&format!("&$filter={}", encode(filter)));
        }
        path
    }
}

/// The path of one device.
pub(super) fn device_path(id: &str) -> String {
    format!("{LIST}/{}", encode(id))
}

/// A call as a request: method, path and body. `None` if a device id could break out of its place in the path.
pub(super) fn request(call: &Call) -> Option<(Method, String, Option<Vec<u8>>)> {
    if !call.devices().iter().all(|id| device::is_id(id)) {
        return None;
    }
    let action = |action: &TagAction| match action {
        TagAction::Add => "Add",
        TagAction::Remove => "Remove",
    };
    let (method, path, body) = match call {
        Call::BulkTag { tag, action: what, devices } => (
            Method::POST,
            format!("{LIST}/AddOrRemoveTagForMultipleMachines"),
            json!({ "Value": &**tag, "Action": action(what), "MachineIds": words(devices) }),
        ),
        Call::SingleTag { tag, action: what, device } => (
            Method::POST,
            format!("{}/tags", device_path(device)),
            json!({ "Value": &**tag, "Action": action(what) }),
        ),
        Call::SetValue { device, value } => (
            Method::POST,
            format!("{}/setDeviceValue", device_path(device)),
            json!({ "DeviceValue": value.word() }),
        ),
        Call::Update { device, value, tags } => {
            let mut body = serde_json::Map::new();
            if let Some(tags) = tags {
                body.insert("machineTags".to_owned(), json!(words(tags)));
            }
            if let Some(value) = value {
                body.insert("deviceValue".to_owned(), json!(value.word()));
            }
            (Method::PATCH, device_path(device), serde_json::Value::Object(body))
        }
        Call::Get { device } => return Some((Method::GET, device_path(device), None)),
    };
    Some((method, path, Some(body.to_string().into_bytes())))
}

fn words(texts: &[Arc<str>]) -> Vec<&str> {
    texts.iter().map(|text| &**text).collect()
}

/// The devices in the body of a 2xx answer: one entity, or a collection; none if the body is empty. Leaves out rows that prove
/// nothing: those without a list of tags, and rows of the same device that contradict each other.
///
/// # Errors
/// What is wrong with the body.
pub(super) fn devices(body: &[u8]) -> Result<Vec<DeviceState>, String> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    #[derive(Deserialize)]
    struct Entity {
        id: Option<Loose>,
        #[serde(rename = "machineTags")]
        tags: Option<Tags>,
        #[serde(rename = "deviceValue")]
        value: Option<Loose>,
    }
    /// A text, if the service follows its schema; anything else counts as absent.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Loose {
        Text(Arc<str>),
        Other(IgnoredAny),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Tags {
        Texts(Vec<Arc<str>>),
        Other(IgnoredAny),
    }
    let text = |loose: Loose| match loose {
        Loose::Text(text) => Some(text),
        Loose::Other(_) => None,
    };
    /// A repeated key is an error.
    #[derive(Deserialize)]
    struct GroupsBody {
        #[serde(rename = "value")]
        entities: Option<Vec<Entity>>,
        id: Option<Loose>,
        #[serde(rename = "machineTags")]
        tags: Option<Tags>,
        #[serde(rename = "deviceValue")]
        value: Option<Loose>,
    }
    if let Some(error) = error_in(body) {
        return Err(error);
    }
    let unreadable = |error: serde_json::Error| format!("the answer is no JSON as expected: {error}");
    let body: GroupsBody = serde_json::from_slice(body).map_err(unreadable)?;
    // 200 with an object that is neither of them: it proves nothing, but is not wrong.
    let one = Entity { id: body.id, tags: body.tags, value: body.value };
    let state = |entity: Entity| {
        // Unreadable tags prove nothing, least of all that one is gone.
        let Some(Tags::Texts(tags)) = entity.tags else { return None };
        Some(DeviceState {
            id: text(entity.id?)?,
            tags,
            has_tag_list: true,
            value: entity.value.and_then(text),
        })
    };
    let rows = body.entities.unwrap_or_else(|| vec![one]).into_iter().filter_map(state);
    Ok(without_contradictions(rows.collect()))
}

/// The first of several equal rows of a device; none if the rows differ.
fn without_contradictions(rows: Vec<DeviceState>) -> Vec<DeviceState> {
    let mut first: HashMap<Arc<str>, usize> = HashMap::with_capacity(rows.len());
    let mut kept: Vec<Option<DeviceState>> = Vec::with_capacity(rows.len());
    for row in rows {
        match first.get(&row.id) {
            Some(place) if kept[*place].as_ref() != Some(&row) => kept[*place] = None,
            Some(_) => {}
            None => {
                first.insert(row.id.clone(), kept.len());
                kept.push(Some(row));
            }
        }
    }
    kept.into_iter().flatten().collect()
}

/// Whether a top-level key of an answer means an error, whatever its status and its other content.
pub(super) fn is_error_key(key: &str) -> bool {
    ["error", "odata.error", "@odata.error"].iter().any(|known| key.eq_ignore_ascii_case(known))
}

/// Such an error as a sentence.
pub(super) fn shown_error(error: &serde_json::Value) -> String {
    let word = |name: &str| error.get(name).and_then(serde_json::Value::as_str);
    let words = [word("code").or(error.as_str()), word("message")];
    let words = words.into_iter().flatten().collect::<Vec<_>>().join(": ");
    format!("the answer says that it is an error ({}), so a part of it may be missing", clean(&words, 200))
}

/// The error in the body of an answer with a success status.
pub(super) fn error_in(body: &[u8]) -> Option<String> {
    struct ErrorKeys;
    impl<'de> Visitor<'de> for ErrorKeys {
        type Value = Option<serde_json::Value>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut error = None;
            while let Some(key) = map.next_key::<Cow<'_, str>>()? {
                if is_error_key(&key) {
                    error = error.or(map.next_value::<Option<serde_json::Value>>()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(error)
        }
    }
    let error = serde_json::Deserializer::from_slice(body).deserialize_map(ErrorKeys).ok()??;
    Some(shown_error(&error))
}

/// The content of an answer other than 2xx, whatever its body is: the service's error document, a gateway's page, or nothing.
pub(super) fn rejection(answer: &Answer, retry_after: Option<std::time::Duration>) -> Rejection {
    let mut rejection = Rejection { status: answer.status, retry_after, ..Rejection::default() };
    let document: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let error = document.as_ref().and_then(|document| document.get("error"));
    let field = |name: &str| error.and_then(|error| error.get(name)).and_then(|value| value.as_str());
    if let Some(error) = error {
        rejection.code = clean(field("code").or(error.as_str()).unwrap_or(""), 80);
        // Long enough for a message that names five hundred ids.
        rejection.message = clean(field("message").unwrap_or(""), 64_000);
        rejection.request_id = field("target").map(|target| clean(target, 80)).filter(|id| !id.is_empty());
    } else {
        rejection.message = clean(&without_markup(&String::from_utf8_lossy(&answer.body)), 200);
    }
    if let Some(location) = answer.redirect() {
        rejection.message = format!("a redirect to {location}, which is not followed");
    }
    rejection.request_id = answer.request_id().or(rejection.request_id);
    rejection
}

/// Whether a body is the service's own error document: JSON with an `error`, unlike any gateway's page.
pub(super) fn is_service_error(body: &[u8]) -> bool {
    let document: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let error = document.as_ref().and_then(|document| document.get("error"));
    error.is_some_and(|error| error.get("code").is_some_and(serde_json::Value::is_string))
}

/// The approximate text of an HTML page, because gateways answer with pages.
fn without_markup(text: &str) -> String {
    let mut plain = String::new();
    let mut inside = false;
    for scalar in text.chars().take(20_000) {
        match scalar {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                plain.push(' ');
            }
            _ if !inside => plain.push(scalar),
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use mdetag_core::device::DeviceValue;

    use super::*;

    fn sent(call: &Call) -> String {
        let (method, path, body) = request(call).unwrap();
        format!("{method} {path} {}", String::from_utf8(body.unwrap_or_default()).unwrap())
    }

    #[test]
    fn calls_have_the_documented_routes_and_casing() {
        let (tag, device): (Arc<str>, Arc<str>) = ("Tier 0".into(), "a1".into());
        let bulk = Call::BulkTag {
            tag: tag.clone(),
            action: TagAction::Add,
            devices: vec![device.clone(), "b2".into()],
        };
        let cases = [
            (
                bulk,
                r#"POST /api/machines/AddOrRemoveTagForMultipleMachines {"Action":"Add","MachineIds":["a1","b2"],"Value":"Tier 0"}"#,
            ),
            (
                Call::SingleTag { tag: tag.clone(), action: TagAction::Remove, device: device.clone() },
                r#"POST /api/machines/a1/tags {"Action":"Remove","Value":"Tier 0"}"#,
            ),
            (
                Call::SetValue { device: device.clone(), value: DeviceValue::High },
                r#"POST /api/machines/a1/setDeviceValue {"DeviceValue":"High"}"#,
            ),
            (
                Call::Update { device: device.clone(), value: Some(DeviceValue::Low), tags: None },
                r#"PATCH /api/machines/a1 {"deviceValue":"Low"}"#,
            ),
            (
                Call::Update { device: device.clone(), value: None, tags: Some(vec![tag]) },
                r#"PATCH /api/machines/a1 {"machineTags":["Tier 0"]}"#,
            ),
            (Call::Get { device }, "GET /api/machines/a1 "),
        ];
        for (call, expected) in cases {
            assert_eq!(sent(&call), expected);
        }
        assert!(request(&Call::Get { device: "../alerts".into() }).is_none());
        assert!(request(&Call::Get { device: "..".into() }).is_none());
    }

    #[test]
    fn answers_are_one_entity_a_collection_or_nothing() {
        let one =
            devices(br#"{"@odata.context":"x","id":"a","machineTags":["T"],"deviceValue":"High","n":1}"#);
        assert_eq!(
            one.unwrap(),
            [DeviceState {
                id: "a".into(),
                tags: vec!["T".into()],
                has_tag_list: true,
                value: Some("High".into())
            }]
        );
        let many =
            devices(br#"{"value":[{"id":"a","machineTags":[]},{"id":7},{"id":"b","machineTags":["T"]}]}"#);
        assert_eq!(many.unwrap().iter().map(|state| &*state.id).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(devices(b" \n").unwrap(), []);
        assert_eq!(devices(br#"{"ok":true}"#).unwrap(), []);
        for broken in [&b"<html>"[..], br#"{"value":[{"id":"a"}"#, b"\xff"] {
            assert!(devices(broken).is_err());
        }
    }

    #[test]
    fn rows_without_tags_or_that_contradict_each_other_say_nothing_of_their_device() {
        for rows in [
            r#"{"id":"a"}"#,
            r#"{"id":"a","machineTags":null}"#,
            r#"{"id":"a","machineTags":[]},{"id":"a","machineTags":["T"]}"#,
            r#"{"id":"a","machineTags":[]},{"id":"a","machineTags":["T"]},{"id":"a","machineTags":[]}"#,
        ] {
            let body = format!(r#"{{"value":[{rows},{{"id":"b","machineTags":["T"]}}]}}"#);
            let told = devices(body.as_bytes()).unwrap();
            assert_eq!(told.iter().map(|state| &*state.id).collect::<Vec<_>>(), ["b"], "{rows}");
        }
        let twice = r#"{"value":[{"id":"a","machineTags":["T"]},{"id":"a","machineTags":["T"]}]}"#;
        assert_eq!(devices(twice.as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn error_bodies_of_any_kind_are_understood_or_cut() {
        let reject = |body: &str| {
            let answer = Answer { status: 400, headers: HeaderMap::new(), body: body.as_bytes().to_vec() };
            let rejection = rejection(&answer, None);
            (rejection.code, rejection.message, rejection.request_id)
        };
        let full = reject(r#"{"error":{"code":"InvalidInput","message":"no","target":"|3f"}}"#);
        assert_eq!(full, ("InvalidInput".to_owned(), "no".to_owned(), Some("|3f".to_owned())));
        assert_eq!(reject("").1, "");
        assert_eq!(reject("<html><h1>502 Bad</h1>\r\nGateway").1, "502 Bad Gateway");
        assert_eq!(reject(r#"{"error":{"code":"InternalServerError"}}"#).0, "InternalServerError");
        assert_eq!(reject(r#"{"error":"invalid_client"}"#).0, "invalid_client");
        assert_eq!(reject(r#"{"error":{"code":"#).1, r#"{"error":{"code":"#);
    }

    #[test]
    fn sketches_see_links_and_rows_whatever_their_types() {
        let page = br#"{"@odata.nextLink":"https:\/\/x","value":[
            {"id":"a","lastSeen":"2026-01-01T00:00:00Z","machineTags":[{"id":"no"}]},
            {"id":5,"lastSeen":null}, {"id":{"id":"x"}}], "@odata.count": 3}"#;
        let sketch = sketch(page).unwrap();
        assert_eq!(sketch.next_link.as_deref(), Some("https://x"));
        assert_eq!(sketch.count, Some(3));
        let ids: Vec<_> = sketch.rows.iter().map(|row| row.id.as_deref()).collect();
        assert_eq!(ids, [Some("a"), Some("5"), None]);
        assert!(super::sketch(b"[]").is_err() && super::sketch(b"{}").is_err());
        assert!(super::sketch(br#"{"value":[{"id":"a"}"#).is_err());
        assert_eq!(super::sketch(br#"{"value":null}"#).unwrap().rows.len(), 0);
    }

    #[test]
    fn a_page_that_may_be_a_part_is_an_error_however_it_says_so() {
        for member in [
            r#""odata.nextLink":"/x""#,
            r#""nextLink":"/x""#,
            r#""@nextLink":"/x""#,
            r#""@odata.NextLink":"/x""#,
            r#""NEXTLINK":{}"#,
            r#""@odata.nextLink":{"href":"/x"}"#,
            r#""@odata.count":-1"#,
            r#""@odata.count":[1]"#,
        ] {
            let page = format!(r#"{{{member},"value":[{{"id":"a"}}]}}"#);
            assert!(super::sketch(page.as_bytes()).is_err(), "{page}");
        }
        let whole = br#"{"@odata.nextLink":null,"nextLink":null,"@odata.count":null,"value":[{"id":"a"}]}"#;
        assert_eq!(super::sketch(whole).unwrap().rows.len(), 1);
    }

    #[test]
    fn list_paths_name_top_always() {
        let query = ListQuery { filter: Some("lastSeen eq null".into()), top: 10_000, skip: 20 };
        assert_eq!(query.path(), "/api/machines?$top=10000&$skip=20&$filter=lastSeen%20eq%20null");
        assert_eq!(ListQuery { top: 10_000, ..ListQuery::default() }.path(), "/api/machines?$top=10000");
    }
}
