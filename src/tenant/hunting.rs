//! Hunting queries over Microsoft Graph: the columns of a result that policies read, and the origins of tags.
//!
//! A truncated result is an error: acting on a part would remove tags from the rest. `selection` decides what an empty result
//! means, or one without a column.

mod table;

use std::sync::Arc;

use reqwest::Method;
use serde_json::json;

use mdetag_core::apply::Meter;
use mdetag_core::device;
use mdetag_core::plan::Lane;
use mdetag_core::selection::HuntedRows;

use self::table::{HuntedCell, ParseFault, Table};
use super::Connection;
use super::error::{TenantError, TenantErrorKind};
use super::http::{LIST_LIMIT, clean};
use super::read::Fetch;

const ROUTE: &str = "/v1.0/security/runHuntingQuery";
/// The service's row limit. It does not say when it truncates.
const ROW_LIMIT: usize = 100_000;
/// The service's size limit, about 50 MB.
const SIZE_LIMIT: usize = 50_000_000;

/// Asks for the origins of each device's tags; only devices with a tag from another origin than the portal and the API.
pub const ORIGINS_QUERY: &str = "DeviceInfo\n\
    | where Timestamp > ago(30d) and isnotempty(OSPlatform)\n\
    | summarize arg_max(Timestamp, DeviceManualTags, DeviceDynamicTags, RegistryDeviceTag) by DeviceId\n\
    | where isnotempty(RegistryDeviceTag) or (isnotempty(DeviceDynamicTags) and DeviceDynamicTags != \"[]\")\n\
    | project DeviceId, DeviceManualTags, DeviceDynamicTags, RegistryDeviceTag";

/// Like [`ORIGINS_QUERY`], for every device that hunting knows.
const ALL_ORIGINS_QUERY: &str = "DeviceInfo\n\
    | where Timestamp > ago(30d) and isnotempty(OSPlatform)\n\
    | summarize arg_max(Timestamp, DeviceManualTags, DeviceDynamicTags, RegistryDeviceTag) by DeviceId\n\
    | project DeviceId, DeviceManualTags, DeviceDynamicTags, RegistryDeviceTag";

/// Runs hunting queries. Its token has the role, and is only sent to Microsoft Graph.
#[derive(Clone)]
pub struct Hunter {
    connection: Arc<Connection>,
}

/// The origins of one device's tags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagOrigins {
    /// The device id, as hunting reports it.
    pub device: String,
    /// Made in the portal or by the API.
    pub manual: Vec<String>,
    /// Set and removed by asset rules.
    pub dynamic: Vec<String>,
    /// Reported by the device itself.
    pub registry: Option<String>,
}

/// The devices whose tag origins are requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginsOf {
    /// Those with a tag from an asset rule or from the device itself: far fewer than all.
    Foreign,
    /// All that hunting knows, so that manual tags are known to be manual.
    All,
}

impl OriginsOf {
    fn query(self) -> &'static str {
        match self {
            OriginsOf::Foreign => ORIGINS_QUERY,
            OriginsOf::All => ALL_ORIGINS_QUERY,
        }
    }
}

impl TagOrigins {
    /// Whether the tag has another origin, so that removing it by the API would not last.
    pub fn is_foreign(&self, tag: &str) -> bool {
        let manual = self.manual.iter().any(|own| own == tag);
        !manual && (self.registry.as_deref() == Some(tag) || self.dynamic.iter().any(|other| other == tag))
    }
}

impl Hunter {
    pub(super) fn new(connection: Arc<Connection>) -> Hunter {
        Hunter { connection }
    }

    /// Runs a query and returns these columns of its result, if it has them.
    ///
    /// # Errors
    /// A query that the service rejects, and a result at the service's row or size limit.
    pub async fn run(
        &self,
        query: &str,
        columns: &[&str],
        meter: &dyn Meter,
    ) -> Result<HuntedRows, TenantError> {
        let table = self.table(query, columns, meter).await?;
        let has = |place: &usize| table.has_column(*place, columns[*place]);
        let places: Vec<usize> = (0..columns.len()).filter(has).collect();
        // The query has columns, and rows to count, even if no column is wanted.
        let mut names: Vec<String> = places.iter().map(|place| columns[*place].to_owned()).collect();
        if names.is_empty() && !(table.columns.is_empty() && table.rows.is_empty()) {
            names.push(String::new());
        }
        let width = names.len();
        let rows = table.rows.into_iter().map(|mut row| {
            // A cell that a row lacks or nests is unknown, not empty.
            let known =
                |place: &usize| row[*place].take().filter(|cell| !cell.is_nested).map(|cell| cell.text);
            let mut cells: Vec<Option<String>> = places.iter().map(known).collect();
            cells.resize(width, Some(String::new()));
            cells
        });
        Ok(HuntedRows::new(names, rows))
    }

    /// Reads which tags come from asset rules and from the devices themselves.
    ///
    /// # Errors
    /// Those of [`Hunter::run`], except that an empty result is fine.
    pub async fn origins(
        &self,
        devices: OriginsOf,
        meter: &dyn Meter,
    ) -> Result<Vec<TagOrigins>, TenantError> {
        self.origins_by(devices.query(), meter).await
    }

    async fn origins_by(&self, query: &str, meter: &dyn Meter) -> Result<Vec<TagOrigins>, TenantError> {
        let columns = ["DeviceId", "DeviceManualTags", "DeviceDynamicTags", "RegistryDeviceTag"];
        let table = self.table(query, &columns, meter).await?;
        let of = |row: &Vec<Option<HuntedCell>>| {
            let text = |index: usize| row[index].as_ref().map_or("", |cell| &*cell.text);
            let list = |index: usize| listed(text(index));
            let registry = Some(text(3).to_owned()).filter(|tag| !tag.is_empty());
            let device = Some(text(0).to_owned()).filter(|id| !id.is_empty())?;
            Some(TagOrigins { device, manual: list(1), dynamic: list(2), registry })
        };
        Ok(table.rows.iter().filter_map(of).collect())
    }

    /// The origins of one device's tags; `None` if hunting does not know the device.
    ///
    /// # Errors
    /// As [`Hunter::origins`].
    pub async fn origins_of(
        &self,
        device: &str,
        meter: &dyn Meter,
    ) -> Result<Option<TagOrigins>, TenantError> {
        if !device::is_id(device) {
            return Ok(None);
        }
        let one = format!("isnotempty(OSPlatform) and DeviceId == \"{device}\"");
        let query = OriginsOf::All.query().replacen("isnotempty(OSPlatform)", &one, 1);
        let origins = self.origins_by(&query, meter).await?;
        Ok(origins.into_iter().find(|origins| origins.device.eq_ignore_ascii_case(device)))
    }

    async fn table(&self, query: &str, columns: &[&str], meter: &dyn Meter) -> Result<Table, TenantError> {
        let body = json!({ "Query": query }).to_string().into_bytes();
        let what = "the hunting query";
        let fetch = Fetch { connection: &self.connection, meter, lane: Lane::Hunting, what };
        let read = |body: &[u8]| match Table::parse(body, columns) {
            Err(ParseFault::CutShort(why)) => Err(why),
            parsed => Ok(Some(parsed)),
        };
        let (found, parsed) = fetch.send_until(Method::POST, ROUTE, Some(&body), LIST_LIMIT, read).await?;
        fetch.success(&found).map_err(|error| explained(error, query))?;
        let parsed = parsed.unwrap_or_else(|| Table::parse(&found.body, columns));
        let table =
            parsed.map_err(|(ParseFault::CutShort(why) | ParseFault::Strange(why))| answer(query, &why))?;
        if let Some((why, cure)) = cut(table.rows.len(), found.body.len()) {
            return Err(answer(query, &why).help(cure));
        }
        Ok(table)
    }
}

/// Whether a result of this many rows and bytes was truncated, and what to do about it.
fn cut(rows: usize, bytes: usize) -> Option<(String, &'static str)> {
    if rows >= ROW_LIMIT {
        let cure = "narrow the query; `| distinct DeviceId` makes most results small";
        return Some((format!("has {rows} rows, the service's limit: it was cut"), cure));
    }
    let cure = "project only the column that holds the ids";
    (bytes >= SIZE_LIMIT).then(|| ("has the size at which the service cuts: 50 MB".to_owned(), cure))
}

/// A short form of a query by which people recognise it.
fn title(query: &str) -> String {
    clean(query.trim().lines().next().unwrap_or(""), 60)
}

fn answer(query: &str, why: &str) -> TenantError {
    TenantError::new(
        TenantErrorKind::Answer,
        format!("the result of the hunting query `{}` {why}", title(query)),
    )
}

fn explained(error: TenantError, query: &str) -> TenantError {
    let status = error.status;
    let error = TenantError { what: format!("{} (query `{}`)", error.what, title(query)), ..error };
    match status {
        Some(400) => error.help("try the query under Hunting > Advanced hunting in the Defender portal"),
        _ => error,
    }
}

/// A list of tags in the form of hunting tables: JSON in a text, or one bare tag.
fn listed(text: &str) -> Vec<String> {
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(tags) => tags,
        Err(_) if text.trim().is_empty() || text.starts_with('[') => Vec::new(),
        Err(_) => vec![text.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use crate::tenant::RequiredAccess;
    use crate::tenant::fake::{AUDIENCE, Fake, FakeReply, OpenMeter, connect, granted};

    use super::*;

    /// Runs a query against a service with this answer.
    async fn hunted(say: FakeReply, columns: &[&str]) -> (Fake, Result<HuntedRows, TenantError>) {
        let fake = Fake::start(move |seen| match seen.path.as_str() {
            ROUTE => say.clone(),
            _ if seen.body.contains("graph.microsoft.com") => {
                granted(&json!({ "aud": "https://graph.microsoft.com", "roles": ["ThreatHunting.Read.All"] }))
            }
            _ => granted(&json!({ "aud": AUDIENCE, "roles": ["Machine.Read.All"] })),
        })
        .await;
        let tenant = connect(fake.options(), RequiredAccess::Read).await.unwrap();
        let hunter = tenant.hunter().await.unwrap();
        let meter = OpenMeter::default();
        let result = hunter.run("DeviceInfo | distinct DeviceId", columns, &meter).await;
        assert!(meter.admitted.lock().unwrap().iter().all(|lane| *lane == Lane::Hunting));
        (fake, result)
    }

    fn rows(columns: &[&str], rows: &[&[&str]]) -> HuntedRows {
        let row = |row: &&[&str]| row.iter().map(|cell| Some((*cell).to_owned())).collect();
        HuntedRows::new(columns.iter().map(|name| (*name).to_owned()).collect(), rows.iter().map(row))
    }

    #[tokio::test]
    async fn both_casings_of_the_documentation_are_read() {
        let lower = json!({ "schema": [{ "name": "DeviceId", "type": "String" }], "results": [{ "DeviceId": "b" }, { "DeviceId": "a" }] });
        let upper = json!({ "Schema": [{ "Name": "DeviceId", "Type": "String" }], "Results": [{ "deviceId": "b" }, { "deviceId": "a" }] });
        for body in [lower, upper] {
            let (fake, result) = hunted(FakeReply::json(200, &body), &["DeviceId"]).await;
            assert_eq!(result.unwrap(), rows(&["DeviceId"], &[&["b"], &["a"]]));
            let call = fake.calls().pop().unwrap();
            assert_eq!((&*call.method, &*call.path), ("POST", ROUTE));
            assert_eq!(call.body, r#"{"Query":"DeviceInfo | distinct DeviceId"}"#);
        }
    }

    #[tokio::test]
    async fn whole_rows_are_read_as_the_service_writes_them() {
        let body = r#"{"schema": [{"name": "Id"}, {"name": "Env"}, {"name": "Other"}], "results": [
            {"Id": "a", "Env": 1.10, "Other": "x"}, {"Id": null, "Env": null}]}"#;
        let found = hunted(FakeReply::text(200, body), &["Env", "Id"]).await.1.unwrap();
        let whole: [&[&str]; 2] = [&["1.10", "a"], &["", ""]];
        assert_eq!(found, rows(&["Env", "Id"], &whole));
    }

    #[tokio::test]
    async fn what_a_row_leaves_out_or_nests_is_unknown_and_not_empty() {
        for strange in
            [r#"{"Id": "c"}"#, r#"{"Id": "c", "Env": ["x", 1]}"#, r#"{"Id": "c", "Env": {"x": 1}}"#]
        {
            let body = format!(r#"{{"results": [{{"Id": "a", "Env": null}}, {strange}]}}"#);
            let found = hunted(FakeReply::text(200, &body), &["Env", "Id"]).await.1.unwrap();
            let text = |text: &str| Some(text.to_owned());
            let expected = [vec![text(""), text("a")], vec![None, text("c")]].into_iter();
            assert_eq!(found, HuntedRows::new(vec!["Env".into(), "Id".into()], expected), "{strange}");
        }
    }

    #[tokio::test]
    async fn a_part_of_the_rows_and_a_column_that_stands_twice_are_errors() {
        let row = r#"{"DeviceId": "a"}"#;
        for (body, why) in [
            (format!(r#"{{"results": [{row}], "@odata.nextLink": "https://h/x"}}"#), "only a part"),
            (format!(r#"{{"odata.nextlink": 5, "results": [{row}]}}"#), "only a part"),
            (r#"{"results": [{"DeviceId": "a", "deviceId": "b"}]}"#.to_owned(), "stands twice"),
        ] {
            let error = hunted(FakeReply::text(200, &body), &["DeviceId"]).await.1.unwrap_err();
            assert!(error.what.contains(why), "{error}");
        }
        let whole = format!(r#"{{"results": [{row}], "@odata.nextLink": null}}"#);
        assert!(hunted(FakeReply::text(200, &whole), &["DeviceId"]).await.1.is_ok());
    }

    #[tokio::test]
    async fn what_a_result_lacks_is_left_to_who_reads_it() {
        let schema = json!({ "schema": [{ "name": "DeviceName" }], "results": [] });
        let others = json!({ "results": [{ "DeviceName": "x" }] });
        let bare = json!({ "results": [] });
        let null = json!({ "results": [{ "DeviceId": null }] });
        let of = async |body| hunted(FakeReply::json(200, &body), &["DeviceId"]).await.1.unwrap();
        let (schema, others, bare, null) =
            (of(schema).await, of(others).await, of(bare).await, of(null).await);
        assert_eq!((schema.len(), schema.has_column("DeviceId")), (0, false));
        assert_eq!((others.len(), others.has_column("DeviceId")), (1, false));
        assert_eq!((bare.len(), bare.has_column("DeviceId")), (0, true), "nothing names its columns");
        assert_eq!((null.len(), null.has_column("DeviceId")), (1, true));
    }

    #[tokio::test]
    async fn cut_and_strange_results_are_errors() {
        let error = hunted(FakeReply::json(200, &json!({})), &["DeviceId"]).await.1.unwrap_err();
        assert!(error.what.contains("holds no `results`"), "{error}");
        assert!(cut(ROW_LIMIT, 9).is_some() && cut(1, SIZE_LIMIT).is_some());
        assert!(cut(ROW_LIMIT - 1, SIZE_LIMIT - 1).is_none());
    }

    #[tokio::test]
    async fn a_result_that_was_cut_short_on_the_way_is_asked_for_again() {
        let tries = std::sync::atomic::AtomicUsize::new(0);
        let fake = Fake::start(move |seen| match seen.path.as_str() {
            ROUTE if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) < 2 => {
                FakeReply::text(200, r#"{"results":[{"DeviceId":"a"},{"Dev"#)
            }
            ROUTE => FakeReply::json(200, &json!({ "results": [{ "DeviceId": "a" }, { "DeviceId": "b" }] })),
            _ => {
                granted(&json!({ "aud": "https://graph.microsoft.com", "roles": ["ThreatHunting.Read.All"] }))
            }
        })
        .await;
        let mut options = fake.options();
        options.endpoints.api_audience = "https://graph.microsoft.com";
        let hunter = crate::tenant::sign_in(options).await.unwrap().hunter().await.unwrap();
        let found = hunter.run("DeviceInfo // é", &["DeviceId"], &OpenMeter::default()).await.unwrap();
        assert_eq!(found, rows(&["DeviceId"], &[&["a"], &["b"]]));
        let calls = fake.calls();
        assert_eq!(calls.len(), 3);
        assert_eq!(calls[0].header("content-type"), Some("application/json; charset=utf-8"));
    }

    #[tokio::test]
    async fn a_rejected_query_shows_the_services_words_and_where_to_try_it() {
        let body = json!({ "error": { "code": "BadRequest", "message": "'Foo' could not be resolved" } });
        let error = hunted(FakeReply::json(400, &body), &["DeviceId"]).await.1.unwrap_err();
        assert!(error.to_string().contains("'Foo' could not be resolved"), "{error}");
        assert!(error.help[0].contains("Advanced hunting"));
    }

    #[tokio::test]
    async fn without_the_role_there_is_no_hunter() {
        let fake = Fake::start(|seen| {
            let graph = seen.body.contains("graph.microsoft.com");
            let audience = if graph { "https://graph.microsoft.com" } else { AUDIENCE };
            granted(&json!({ "aud": audience, "roles": ["Machine.Read.All"] }))
        })
        .await;
        let tenant = connect(fake.options(), RequiredAccess::Read).await.unwrap();
        let error = tenant.hunter().await.err().unwrap();
        assert!(error.what.contains("ThreatHunting.Read.All"), "{error}");
    }

    #[test]
    fn tags_of_other_origins_are_told_apart() {
        assert_eq!(listed(r#"["A","B"]"#), ["A", "B"]);
        assert_eq!(listed("A"), ["A"]);
        assert_eq!(listed("[]").len() + listed("").len() + listed("[broken").len(), 0);
        let origins = TagOrigins {
            manual: vec!["Both".into()],
            dynamic: vec!["Both".into(), "Rule".into()],
            registry: Some("Site".into()),
            ..TagOrigins::default()
        };
        let foreign: Vec<bool> = ["Both", "Rule", "Site", "Own"].map(|tag| origins.is_foreign(tag)).into();
        assert_eq!(foreign, [false, true, true, false]);
    }
}
