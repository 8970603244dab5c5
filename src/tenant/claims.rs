//! The claims of a token, checked before the first call: tenant, audience, roles.
//!
//! Does not verify signatures; the service does. A forged token only fails later.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::credential_source::CredentialSource;
use super::error::{TenantError, TenantErrorKind};
use super::http::clean;
use super::wire;

/// Reads hunting tables through Microsoft Graph.
const ROLE_HUNTING: &str = "ThreatHunting.Read.All";
/// Microsoft Graph's application id, the same in every tenant.
pub(super) const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";

/// The access that a command needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequiredAccess {
    Read,
    Write,
    Hunting,
}

impl RequiredAccess {
    /// The role that grants it.
    pub fn role(self) -> &'static str {
        match self {
            RequiredAccess::Read => wire::ROLE_READ,
            RequiredAccess::Write => wire::ROLE_WRITE,
            RequiredAccess::Hunting => ROLE_HUNTING,
        }
    }

    fn what_for(self) -> &'static str {
        match self {
            RequiredAccess::Read => "reading the inventory",
            RequiredAccess::Write => "writing tags and values",
            RequiredAccess::Hunting => "hunting queries",
        }
    }

    /// Name and application id of the API that has the role.
    fn resource(self) -> (&'static str, &'static str) {
        match self {
            RequiredAccess::Read | RequiredAccess::Write => (wire::RESOURCE_NAME, wire::RESOURCE_APP_ID),
            RequiredAccess::Hunting => ("Microsoft Graph", GRAPH_APP_ID),
        }
    }

    fn roles(self) -> &'static [&'static str] {
        match self {
            RequiredAccess::Read => &[wire::ROLE_READ, wire::ROLE_WRITE],
            RequiredAccess::Write => &[wire::ROLE_WRITE],
            RequiredAccess::Hunting => &[ROLE_HUNTING],
        }
    }

    fn scopes(self) -> &'static [&'static str] {
        match self {
            RequiredAccess::Read => &wire::SCOPES_READ,
            RequiredAccess::Write => &wire::SCOPES_WRITE,
            RequiredAccess::Hunting => &[ROLE_HUNTING],
        }
    }
}

/// The relevant claims of an access token. None of them is secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    pub tenant: String,
    pub audience: String,
    /// Application (client) id.
    pub app: Option<String>,
    /// Object id of the service principal, which roles are granted to.
    pub object: Option<String>,
    pub roles: Vec<String>,
    /// Delegated scopes. If there are any, it is a person's token, which sees only that person's device groups.
    pub scopes: Vec<String>,
    /// Expiry in seconds since the epoch.
    pub expires: Option<i64>,
}

impl Claims {
    /// Reads the claims of a token.
    pub(super) fn of(token: &SecretString) -> Option<Claims> {
        let payload = token.expose_secret().split('.').nth(1)?;
        let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
        let claims: Value = serde_json::from_slice(&bytes).ok()?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(|text| clean(text, 200));
        let roles = claims.get("roles").and_then(Value::as_array);
        Some(Claims {
            tenant: text("tid").unwrap_or_default(),
            audience: text("aud").unwrap_or_default(),
            app: text("appid").or_else(|| text("azp")),
            object: text("oid"),
            roles: roles
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(|role| clean(role, 80))
                .collect(),
            scopes: text("scp").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
            expires: claims.get("exp").and_then(Value::as_i64),
        })
    }

    /// Whether a person signed in: such a token may see only some device groups.
    pub fn is_delegated(&self) -> bool {
        !self.scopes.is_empty() && self.roles.is_empty()
    }

    /// Whether the token grants this access.
    pub fn allows(&self, need: RequiredAccess) -> bool {
        let holds =
            |granted: &[String], wanted: &[&str]| granted.iter().any(|name| wanted.contains(&&**name));
        holds(&self.roles, need.roles()) || holds(&self.scopes, need.scopes())
    }

    /// Checks the tenant and the audience.
    pub(super) fn check_target(&self, expected: &Expected<'_>) -> Result<(), TenantError> {
        if let Some(pin) = expected.tenant
            && !self.tenant.eq_ignore_ascii_case(pin)
        {
            let mut error = TenantError::new(
                TenantErrorKind::OtherTenant,
                format!(
                    "the token is for tenant {}, but {} names {pin}",
                    self.tenant, expected.tenant_setting
                ),
            );
            error = error.help("nothing was read or written");
            return Err(error.help("sign in to the right tenant, or choose the right profile with --tenant"));
        }
        let audience = self.audience.trim_end_matches('/');
        let fits = audience.eq_ignore_ascii_case(expected.audience)
            || audience.eq_ignore_ascii_case(expected.app_id);
        if !fits {
            return Err(TenantError::new(
                TenantErrorKind::SignIn,
                format!(
                    "the token is for {audience}, but the service takes only tokens for {}",
                    expected.audience
                ),
            )
            .help(format!("request the token for the scope {}/.default", expected.audience)));
        }
        Ok(())
    }

    /// Checks the roles (or delegated scopes); the error says how to grant a missing one.
    pub(super) fn check_role(
        &self,
        need: RequiredAccess,
        source: CredentialSource,
    ) -> Result<(), TenantError> {
        if self.allows(need) {
            return Ok(());
        }
        let has = match (self.roles.is_empty(), self.scopes.is_empty()) {
            (true, true) => format!("no roles at all in {}", need.resource().0),
            (false, _) => format!("only {}", self.roles.join(", ")),
            (true, false) => format!("only the delegated scopes {}", self.scopes.join(", ")),
        };
        let who = self.app.as_deref().unwrap_or("this identity");
        let role = need.role();
        let what = format!("{who} has {has}, but {} needs the application role {role}", need.what_for());
        let mut error = TenantError::new(TenantErrorKind::Role, what);
        error.code = Some(role.into());
        let error = error.help(portal_path(need, source)).help(grant_command(need, self));
        Err(error.help(
            "a new role shows in tokens issued after it was granted: wait a few minutes, then try again",
        ))
    }
}

/// The expected target of a token.
pub(super) struct Expected<'a> {
    pub(super) tenant: Option<&'a str>,
    /// The setting that names the tenant, for the message.
    pub(super) tenant_setting: &'a str,
    pub(super) audience: &'a str,
    pub(super) app_id: &'a str,
}

/// Application id of the device API.
pub(super) const API_APP_ID: &str = wire::RESOURCE_APP_ID;

/// The page in the portal where a person grants the role. A managed identity has no such page.
fn portal_path(need: RequiredAccess, source: CredentialSource) -> String {
    let (name, _) = need.resource();
    let role = need.role();
    if matches!(source, CredentialSource::ManagedIdentity | CredentialSource::AppService) {
        return format!(
            "a managed identity is granted {role} of {name} by command only; no portal page does it"
        );
    }
    let place = match need {
        RequiredAccess::Hunting => "Microsoft APIs > Microsoft Graph".to_owned(),
        RequiredAccess::Read | RequiredAccess::Write => format!("APIs my organization uses > {name}"),
    };
    format!(
        "in the Entra admin center: App registrations > the app > API permissions > Add a permission > {place} > \
         Application permissions > {role}, then Grant admin consent"
    )
}

/// A command that grants the role to an application or a managed identity.
fn grant_command(need: RequiredAccess, claims: &Claims) -> String {
    let (_, resource) = need.resource();
    let role = need.role();
    let principal = match (&claims.object, &claims.app) {
        (Some(object), _) if is_plain(object) => format!("me={object}"),
        (_, Some(app)) if is_plain(app) => format!("me=$(az ad sp show --id {app} --query id -o tsv)"),
        _ => "me=OBJECT-ID-OF-THE-SERVICE-PRINCIPAL".to_owned(),
    };
    format!(
        "or as an administrator: {principal}; api=$(az ad sp show --id {resource} --query id -o tsv); \
         role=$(az ad sp show --id {resource} --query \"appRoles[?value=='{role}'].id\" -o tsv); \
         az rest --method POST --url \"https://graph.microsoft.com/v1.0/servicePrincipals/$me/appRoleAssignments\" \
         --body \"{{\\\"principalId\\\":\\\"$me\\\",\\\"resourceId\\\":\\\"$api\\\",\\\"appRoleId\\\":\\\"$role\\\"}}\""
    )
}

/// Whether an id is safe in a command that people paste: a token's hostile id must not add to it.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
pub(super) fn token_of(claims: &Value) -> SecretString {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    SecretString::from(format!("{}.{}.x", part(r#"{"alg":"none"}"#), part(&claims.to_string())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const API: &str = "https://api.securitycenter.microsoft.com";

    fn claims(value: Value) -> Claims {
        Claims::of(&token_of(&value)).unwrap()
    }

    fn expected(tenant: Option<&str>) -> Expected<'_> {
        Expected { tenant, tenant_setting: "guard.tenantId", audience: API, app_id: API_APP_ID }
    }

    #[test]
    fn another_tenant_or_audience_is_refused_before_any_call() {
        let claims = claims(json!({ "tid": "AAAA-1", "aud": API, "roles": ["Machine.Read.All"] }));
        assert!(claims.check_target(&expected(Some("aaaa-1"))).is_ok());
        let error = claims.check_target(&expected(Some("bbbb-2"))).unwrap_err();
        assert_eq!(error.kind, TenantErrorKind::OtherTenant);
        assert!(error.what.contains("AAAA-1") && error.what.contains("bbbb-2"), "{error}");
        for fine in ["https://api.securitycenter.microsoft.com/", API_APP_ID] {
            let claims = Claims { audience: fine.to_owned(), ..Claims::default() };
            assert!(claims.check_target(&expected(None)).is_ok());
        }
        let claims = Claims { audience: "https://api.security.microsoft.com".into(), ..Claims::default() };
        let error = claims.check_target(&expected(None)).unwrap_err();
        assert!(error.help[0].contains("https://api.securitycenter.microsoft.com/.default"), "{error:?}");
    }

    #[test]
    fn a_missing_role_is_named_with_the_page_and_the_command_that_grant_it() {
        let claims = claims(
            json!({ "tid": "t", "aud": API, "appid": "app-1", "oid": "obj-1", "roles": ["Machine.Read.All"] }),
        );
        assert!(claims.check_role(RequiredAccess::Read, CredentialSource::ClientSecret).is_ok());
        let error = claims.check_role(RequiredAccess::Write, CredentialSource::ClientSecret).unwrap_err();
        assert!(error.what.contains("app-1 has only Machine.Read.All"), "{error}");
        let help = error.help.join("\n");
        assert!(
            help.contains("WindowsDefenderATP > Application permissions > Machine.ReadWrite.All"),
            "{help}"
        );
        assert!(
            help.contains("me=obj-1;") && help.contains("appRoles[?value=='Machine.ReadWrite.All']"),
            "{help}"
        );
        let error = claims.check_role(RequiredAccess::Write, CredentialSource::ManagedIdentity).unwrap_err();
        assert!(error.help[0].contains("by command only"), "{error:?}");
        let error = claims.check_role(RequiredAccess::Hunting, CredentialSource::ClientSecret).unwrap_err();
        assert!(
            error
                .help
                .join("\n")
                .contains("Microsoft Graph > Application permissions > ThreatHunting.Read.All")
        );
    }

    #[test]
    fn no_consent_at_all_reads_as_no_roles() {
        let error = claims(json!({ "aud": API }))
            .check_role(RequiredAccess::Read, CredentialSource::ClientSecret)
            .unwrap_err();
        assert!(error.what.contains("no roles at all"), "{error}");
    }

    #[test]
    fn scopes_in_place_of_roles_mark_a_delegated_token() {
        let person = claims(json!({ "aud": API, "scp": "Machine.Read User.Read" }));
        assert!(
            person.is_delegated()
                && person.allows(RequiredAccess::Read)
                && !person.allows(RequiredAccess::Write)
        );
        assert!(!claims(json!({ "aud": API, "roles": ["Machine.Read.All"] })).is_delegated());
    }

    #[test]
    fn hostile_claims_cannot_add_to_a_command() {
        let claims = claims(json!({ "aud": API, "oid": "x; rm -rf ~", "appid": "$(id)" }));
        let error = claims.check_role(RequiredAccess::Read, CredentialSource::ClientSecret).unwrap_err();
        assert!(!error.help.join("\n").contains("rm -rf"), "{error:?}");
        assert!(error.help[1].contains("OBJECT-ID-OF"));
    }

    #[test]
    fn text_that_is_no_token_has_no_claims() {
        for text in ["", "opaque", "a.b.c", "a.e30", "..", "a.bnVsbA.c"] {
            let claims = Claims::of(&SecretString::from(text.to_owned()));
            assert!(claims.is_none_or(|claims| claims == Claims::default()), "{text}");
        }
    }
}
