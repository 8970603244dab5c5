//! Checks the token of a call on the API routes, in the service's own order, and says what the caller may do.
//!
//! Issues no tokens; that is `sign_in`.

use serde_json::Value;

use crate::faults::LIST_MARKS;
use crate::jwt;
use crate::record::Group;
use crate::routes::Route;
use crate::service::Service;
use crate::switches::Switch;
use crate::wire::{Answer, Request};
use mdetag_vocabulary::time::Timestamp;

/// The authenticated caller.
#[derive(Clone, Debug, Default)]
pub(super) struct Caller {
    pub(super) app: String,
    /// The device groups that a delegated user sees; `None`: all.
    groups: Option<Vec<String>>,
}

impl Caller {
    /// Whether the caller sees devices of this group.
    pub(super) fn sees(&self, group: &Group) -> bool {
        let named =
            |wanted: &String| group.id.to_string() == **wanted || group.name.as_deref() == Some(&**wanted);
        self.groups.as_ref().is_none_or(|groups| groups.iter().any(named))
    }

    /// Whether the caller sees every device.
    pub(super) fn sees_all(&self) -> bool {
        self.groups.is_none()
    }
}

/// The audience of Microsoft Graph.
pub(super) const GRAPH: &[&str] =
    &["https://graph.microsoft.com", "https://graph.microsoft.us", "https://dod-graph.microsoft.us"];

/// Audiences that the machine routes of a cloud accept: the legacy hosts and the resource's app id, never the new host.
pub(super) fn audiences(cloud: &str) -> &'static [&'static str] {
    match cloud {
        "gcc" => &["https://api-gcc.securitycenter.microsoft.us"],
        "gov" => &["https://api-gov.securitycenter.microsoft.us"],
        _ => &[
            "https://api.securitycenter.microsoft.com",
            "https://api-us.securitycenter.microsoft.com",
            "https://api-eu.securitycenter.microsoft.com",
            "https://api-uk.securitycenter.microsoft.com",
            "https://api-au.securitycenter.microsoft.com",
            "https://api.securitycenter.windows.com",
            // From the service's first documentation, and still the default of a connector.
            "https://securitycenter.onmicrosoft.com/windowsatpservice",
            "fc780465-2017-40d4-a0c5-307022471b92",
        ],
    }
}

/// Checks the token of a request.
pub(super) fn check(
    service: &Service,
    request: &Request,
    route: Route,
    now: Timestamp,
) -> Result<Caller, Answer> {
    let unauthorized =
        |message: &str| Err(service.error(401, "Unauthorized", message).header("www-authenticate", "Bearer"));
    let authorization = request.header("authorization").unwrap_or_default();
    let token = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = token else { return unauthorized("Request is not authorized: no bearer token.") };
    let Some(claims) = jwt::verify(&service.settings.signing_key(), token.trim()) else {
        return unauthorized("Invalid access token.");
    };
    let seconds = |name: &str| claims[name].as_i64().unwrap_or(0);
    if now.seconds() >= seconds("exp") {
        return unauthorized("Access token has expired or is not yet valid.");
    }
    if service.switches.on(Switch::MdeInactive) {
        return unauthorized("Unauthorized request - reason of failure: Account mode is inactive");
    }
    let audience = claims["aud"].as_str().unwrap_or_default().trim_end_matches('/');
    let accepted = match route {
        Route::Hunting => GRAPH,
        _ => audiences(service.switches.text(Switch::Cloud)),
    };
    if !accepted.contains(&audience) {
        return Err(service.error(
            403,
            "Forbidden",
            &format!("The token's audience '{audience}' is not accepted by this resource."),
        ));
    }
    roles(service, route, &claims)?;
    Ok(Caller {
        app: claims["appid"].as_str().unwrap_or_default().to_owned(),
        groups: groups(service, &claims),
    })
}

fn groups(service: &Service, claims: &Value) -> Option<Vec<String>> {
    let visible = service.switches.text(Switch::VisibleGroups);
    let is_delegated = claims.get("scp").is_some();
    (is_delegated && visible != "all")
        .then(|| visible.split(LIST_MARKS).map(|group| group.trim().to_owned()).collect())
}

fn roles(service: &Service, route: Route, claims: &Value) -> Result<(), Answer> {
    let writes =
        route.writes() || route == Route::FindByTag && service.switches.on(Switch::FindByTagNeedsWrite);
    let required: &[&str] = match route {
        Route::Hunting => &["ThreatHunting.Read.All"],
        Route::OldHunting => &["AdvancedQuery.Read.All"],
        Route::Metadata => return Ok(()),
        _ if writes => &["Machine.ReadWrite.All"],
        _ => &["Machine.Read.All", "Machine.ReadWrite.All"],
    };
    let delegated = claims["scp"].as_str();
    let granted: Vec<&str> = match delegated {
        Some(scopes) => scopes.split(' ').collect(),
        None => claims["roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    // A delegated scope is named like the role without `.All`, except for permissions with only one form.
    let holds = |role: &&str| {
        granted.contains(role)
            || delegated.is_some() && role.strip_suffix(".All").is_some_and(|scope| granted.contains(&scope))
    };
    if required.iter().any(holds) {
        return Ok(());
    }
    let message = if service.switches.is(Switch::RoleMessage, "2021") {
        format!(
            "The application does not have any of the required application permissions ({}) to access the resource.",
            required.join(", ")
        )
    } else {
        format!(
            "Missing application roles. API required roles: {}, application roles: {}.",
            required.join(","),
            granted.join(",")
        )
    };
    Err(service.error(403, "Forbidden", &message))
}
