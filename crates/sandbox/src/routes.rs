//! Finds the route of a request.
//!
//! Matches exactly, because nothing says that the service is lenient. Decides nothing about the request itself.

use crate::wire::decode;

/// A route of the simulated service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Route {
    /// Both token endpoints.
    Token,
    /// `GET /api/machines`.
    List,
    /// `GET /api/machines/{id}`.
    Get,
    /// `GET /api/machines/findbytag`.
    FindByTag,
    /// `POST /api/machines/AddOrRemoveTagForMultipleMachines`.
    BulkTag,
    /// `POST /api/machines/{id}/tags`.
    SingleTag,
    /// `POST /api/machines/{id}/setDeviceValue`.
    SetValue,
    /// `PATCH /api/machines/{id}`.
    UpdateDevice,
    /// `POST /v1.0/security/runHuntingQuery`.
    Hunting,
    /// `POST /api/advancedqueries/run`.
    OldHunting,
    /// `GET /api/DeviceGroups`.
    DeviceGroups,
    /// `GET /api/$metadata`.
    Metadata,
    /// Managed identities and the OIDC issuer.
    Identity,
    /// Any path the service does not serve.
    Unknown,
}

impl Route {
    /// Routes that faults can name.
    pub const ALL: &'static [Route] = &[
        Route::Token,
        Route::List,
        Route::Get,
        Route::FindByTag,
        Route::BulkTag,
        Route::SingleTag,
        Route::SetValue,
        Route::UpdateDevice,
        Route::Hunting,
        Route::DeviceGroups,
    ];

    /// The name in faults, in the call log and in throttling keys.
    pub fn name(self) -> &'static str {
        match self {
            Route::Token => "token",
            Route::List => "list",
            Route::Get => "get",
            Route::FindByTag => "findByTag",
            Route::BulkTag => "bulkTag",
            Route::SingleTag => "singleTag",
            Route::SetValue => "setValue",
            Route::UpdateDevice => "updateDevice",
            Route::Hunting => "hunting",
            Route::OldHunting => "oldHunting",
            Route::DeviceGroups => "deviceGroups",
            Route::Metadata => "metadata",
            Route::Identity => "identity",
            Route::Unknown => "unknown",
        }
    }

    /// Whether its calls count for faults without a route.
    pub(super) fn is_counted(self) -> bool {
        !matches!(self, Route::Token | Route::Identity | Route::Metadata | Route::Unknown)
    }

    /// Whether a call on this route changes devices.
    pub fn writes(self) -> bool {
        matches!(self, Route::BulkTag | Route::SingleTag | Route::SetValue | Route::UpdateDevice)
    }
}

/// The route, and the device or tenant that its path names.
pub(super) fn route(method: &str, path: &str) -> (Route, String) {
    if path.starts_with("/metadata/identity/") || path.starts_with("/msi/") || path.starts_with("/oidc/") {
        return (Route::Identity, String::new());
    }
    if method == "GET" && path.ends_with("/.well-known/openid-configuration") {
        return (Route::Identity, String::new());
    }
    if method == "POST"
        && let Some(tenant) =
            path.strip_suffix("/oauth2/v2.0/token").or_else(|| path.strip_suffix("/oauth2/token"))
    {
        return (Route::Token, decode(tenant.trim_start_matches('/'), false));
    }
    if path == "/v1.0/security/runHuntingQuery" && method == "POST" {
        return (Route::Hunting, String::new());
    }
    let Some(rest) = path.strip_prefix("/api") else { return (Route::Unknown, String::new()) };
    let rest = rest.strip_prefix("/v1.0").unwrap_or(rest);
    let parts: Vec<String> =
        rest.trim_start_matches('/').split('/').map(|part| decode(part, false)).collect();
    let parts: Vec<&str> = parts.iter().map(|part| &**part).collect();
    match (method, parts.as_slice()) {
        ("GET", ["machines"]) => (Route::List, String::new()),
        // The reserved word first: otherwise it would be taken for the name of a computer.
        ("GET", ["machines", "findbytag"]) => (Route::FindByTag, String::new()),
        ("GET", ["machines", id]) if !id.is_empty() => (Route::Get, (*id).to_owned()),
        // The documentation and clients in the field use both spellings.
        ("POST", ["machines", "AddOrRemoveTagForMultipleMachines" | "addOrRemoveTagForMultipleMachines"]) => {
            (Route::BulkTag, String::new())
        }
        ("POST", ["machines", id, "tags"]) => (Route::SingleTag, (*id).to_owned()),
        ("POST", ["machines", id, "setDeviceValue"]) => (Route::SetValue, (*id).to_owned()),
        ("PATCH", ["machines", id]) if !id.is_empty() => (Route::UpdateDevice, (*id).to_owned()),
        ("POST", ["advancedqueries", "run"]) => (Route::OldHunting, String::new()),
        ("GET", ["DeviceGroups"]) => (Route::DeviceGroups, String::new()),
        ("GET", ["$metadata"]) => (Route::Metadata, String::new()),
        _ => (Route::Unknown, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_match_exactly_with_and_without_the_version() {
        let name = |method, path| route(method, path).0;
        assert_eq!(name("GET", "/api/machines"), Route::List);
        assert_eq!(name("GET", "/api/v1.0/machines"), Route::List);
        assert_eq!(name("GET", "/api/machines/findbytag"), Route::FindByTag);
        assert_eq!(name("GET", "/api/machine"), Route::Unknown);
        assert_eq!(name("POST", "/api/machines/addOrRemoveTagForMultipleMachines"), Route::BulkTag);
        assert_eq!(name("POST", "/api/machines/addorremovetagformultiplemachines"), Route::Unknown);
        assert_eq!(route("GET", "/api/machines/a%20b"), (Route::Get, "a b".to_owned()));
        assert_eq!(route("POST", "/t/oauth2/v2.0/token"), (Route::Token, "t".to_owned()));
        assert_eq!(route("POST", "/t/oauth2/token"), (Route::Token, "t".to_owned()));
    }
}
