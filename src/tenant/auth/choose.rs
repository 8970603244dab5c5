//! Chooses the credential: the first available one, which the log names. Never prompts.
//!
//! Reads no environment itself: the caller passes a function that looks variables up.

use std::path::PathBuf;

use reqwest::Url;
use secrecy::SecretString;

use crate::tenant::clouds::is_loopback;
use crate::tenant::error::{TenantError, TenantErrorKind};

use super::certificate::Signer;
use super::{Credential, CredentialKind, CredentialSource, IdentityOptions};

const IMDS: &str = "http://169.254.169.254";

/// Chooses the credential: explicit settings first, then the environment in the documented order, then what the computer offers.
/// `variable` looks up an environment variable; empty ones count as absent.
///
/// # Errors
/// An unusable setting, half a credential (a secret without a client id), or an explicitly requested kind that is not available;
/// each error says what is missing.
pub fn choose(
    options: &IdentityOptions,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Credential, TenantError> {
    let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let tenant = options.tenant_id.clone().or_else(|| variable("AZURE_TENANT_ID"));
    let client = options.client_id.clone().or_else(|| variable("AZURE_CLIENT_ID"));
    for (what, id) in [("tenant id", &tenant), ("client id", &client)] {
        check_id(what, id.as_deref())?;
    }
    let order: &[CredentialSource] = match &options.source {
        Some(source) => std::slice::from_ref(source),
        None => &CredentialSource::ALL,
    };
    for source in order {
        let Some(kind) = found(*source, options.source.is_some(), &variable)? else { continue };
        let registered = matches!(
            kind,
            CredentialKind::Secret(_)
                | CredentialKind::Certificate(_)
                | CredentialKind::FederatedFile(_)
                | CredentialKind::GitHub { .. }
        );
        if registered && (tenant.is_none() || client.is_none()) {
            // GitHub gives its variables to every job. They matter only if somebody names an application.
            if *source == CredentialSource::GitHub && options.source.is_none() && client.is_none() {
                continue;
            }
            return Err(half(*source, tenant.is_none(), client.is_none()));
        }
        return Ok(Credential { kind, tenant, client });
    }
    let asked = options.source.unwrap_or(CredentialSource::AzureCli);
    Err(TenantError::new(TenantErrorKind::Configuration, format!("{} is not there", asked.name())).help(
        match asked {
            CredentialSource::GitHub => "give the job `permissions: { id-token: write }`".to_owned(),
            _ => "set the variable, or choose another kind of credential".to_owned(),
        },
    ))
}

/// The credential of one kind, if it is available.
fn found(
    source: CredentialSource,
    asked: bool,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<CredentialKind>, TenantError> {
    Ok(match source {
        CredentialSource::ClientSecret => {
            variable("AZURE_CLIENT_SECRET").map(|text| CredentialKind::Secret(text.into()))
        }
        CredentialSource::Certificate => match variable("AZURE_CLIENT_CERTIFICATE_PATH") {
            Some(path) => Some(CredentialKind::Certificate(Signer::load(&PathBuf::from(path))?.into())),
            None => None,
        },
        CredentialSource::FederatedTokenFile => variable("AZURE_FEDERATED_TOKEN_FILE")
            .map(|path| CredentialKind::FederatedFile(PathBuf::from(path))),
        CredentialSource::GitHub => {
            match (variable("ACTIONS_ID_TOKEN_REQUEST_URL"), variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN")) {
                (Some(url), Some(token)) => {
                    let url = service_url("ACTIONS_ID_TOKEN_REQUEST_URL", &url, is_loopback)?;
                    Some(CredentialKind::GitHub { url, token: SecretString::from(token) })
                }
                _ => None,
            }
        }
        CredentialSource::AppService => match (variable("IDENTITY_ENDPOINT"), variable("IDENTITY_HEADER")) {
            (Some(url), Some(header)) => {
                let url = service_url("IDENTITY_ENDPOINT", &url, is_near)?;
                Some(CredentialKind::AppService { url, header: SecretString::from(header) })
            }
            _ => None,
        },
        CredentialSource::ManagedIdentity => {
            let set = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST");
            let url = set.as_deref().unwrap_or(IMDS);
            let url = service_url("AZURE_POD_IDENTITY_AUTHORITY_HOST", url, is_near)?;
            Some(if asked { CredentialKind::Imds(url) } else { CredentialKind::Ambient(url, azure_cli()) })
        }
        CredentialSource::AzureCli => Some(CredentialKind::AzureCli(azure_cli())),
    })
}

fn azure_cli() -> PathBuf {
    PathBuf::from(if cfg!(windows) { "az.cmd" } else { "az" })
}

/// Whether a host is a credential service of this computer: loopback, or a link-local address that clouds use for it.
pub(super) fn is_near(host: &str) -> bool {
    is_loopback(host) || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_link_local())
}

/// The URL of a credential service: https, or http where `plain` allows the host.
fn service_url(name: &str, text: &str, plain: fn(&str) -> bool) -> Result<Url, TenantError> {
    let wrong = |why: &str| {
        TenantError::new(TenantErrorKind::Configuration, format!("{name} {why}"))
            .help("the platform sets this variable; a job or a person should not")
    };
    let url = Url::parse(text).map_err(|_| wrong("is not a URL"))?;
    let host = url.host_str().unwrap_or("");
    match url.scheme() {
        "https" => Ok(url),
        "http" if plain(host) => Ok(url),
        _ => Err(wrong("names a host that would be asked without encryption")),
    }
}

/// Checks an id, which becomes a part of the sign-in URL.
fn check_id(what: &str, id: Option<&str>) -> Result<(), TenantError> {
    let Some(id) = id else { return Ok(()) };
    let plain = id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if plain && id.bytes().any(|byte| byte.is_ascii_alphanumeric()) && id.len() <= 128 {
        return Ok(());
    }
    // Not quoted: a value in the wrong variable is often the secret.
    Err(TenantError::new(TenantErrorKind::Configuration, format!("the given {what} is not a valid id"))
        .help("write the id as the Entra admin center shows it, without blanks or line ends: 11111111-2222-3333-4444-555555555555"))
}

fn half(source: CredentialSource, tenant: bool, client: bool) -> TenantError {
    let missing = match (tenant, client) {
        (true, true) => "neither a tenant id nor a client id",
        (true, false) => "no tenant id",
        _ => "no client id",
    };
    TenantError::new(TenantErrorKind::Configuration, format!("{} is there, but {missing}", source.name()))
        .help("set AZURE_TENANT_ID and AZURE_CLIENT_ID, or `tenantId` and `clientId` in mdetag.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [(&str, &str); 2] = [("AZURE_TENANT_ID", "t-1"), ("AZURE_CLIENT_ID", "c-1")];

    fn chosen(pairs: &[(&str, &str)], options: &IdentityOptions) -> Result<Credential, TenantError> {
        let look =
            |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        choose(options, &look)
    }

    fn source(pairs: &[(&str, &str)]) -> CredentialSource {
        chosen(&[&IDS[..], pairs].concat(), &IdentityOptions::default()).unwrap().source()
    }

    #[test]
    fn the_first_credential_in_the_documented_order_is_used() {
        let secret = ("AZURE_CLIENT_SECRET", "s");
        let file = ("AZURE_FEDERATED_TOKEN_FILE", "/nowhere");
        let github = [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x.example/t"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "g"),
        ];
        let service =
            [("IDENTITY_ENDPOINT", "http://169.254.129.2:8081/msi/token"), ("IDENTITY_HEADER", "h")];
        let all = [&[secret, file][..], &github, &service].concat();
        assert_eq!(source(&all), CredentialSource::ClientSecret);
        assert_eq!(source(&all[1..]), CredentialSource::FederatedTokenFile);
        assert_eq!(source(&all[2..]), CredentialSource::GitHub);
        assert_eq!(source(&all[4..]), CredentialSource::AppService);
        assert_eq!(source(&[]), CredentialSource::ManagedIdentity);
        assert_eq!(source(&[("AZURE_CLIENT_SECRET", " ")]), CredentialSource::ManagedIdentity);
    }

    #[test]
    fn settings_win_over_the_environment() {
        let options = IdentityOptions {
            tenant_id: Some("profile".into()),
            client_id: None,
            source: Some(CredentialSource::AzureCli),
        };
        let credential = chosen(&[&IDS[..], &[("AZURE_CLIENT_SECRET", "s")]].concat(), &options).unwrap();
        assert_eq!(credential.source(), CredentialSource::AzureCli);
        assert_eq!((credential.tenant(), credential.client()), (Some("profile"), Some("c-1")));
    }

    #[test]
    fn half_a_credential_says_which_half_is_missing() {
        let error =
            chosen(&[("AZURE_CLIENT_SECRET", "hunter2"), IDS[1]], &IdentityOptions::default()).unwrap_err();
        assert!(error.what.contains("AZURE_CLIENT_SECRET is there, but no tenant id"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn githubs_variables_without_an_application_are_passed_over() {
        let github = [
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x.example/t"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "g"),
        ];
        let credential = chosen(&github, &IdentityOptions::default()).unwrap();
        assert_eq!(credential.source(), CredentialSource::ManagedIdentity);
        let options =
            IdentityOptions { source: Some(CredentialSource::GitHub), ..IdentityOptions::default() };
        assert!(chosen(&[], &options).unwrap_err().help[0].contains("id-token: write"));
    }

    #[test]
    fn a_secret_in_the_place_of_an_id_is_not_quoted() {
        for name in ["AZURE_CLIENT_ID", "AZURE_TENANT_ID"] {
            let secret = (name, "hunter2~hunter2");
            let error = chosen(&[secret, IDS[0], IDS[1]], &IdentityOptions::default()).unwrap_err();
            assert!(error.what.contains("is not a valid id"), "{error}");
            assert!(!format!("{error:?}{error}").contains("hunter2"), "{name}");
        }
    }

    #[test]
    fn hostile_ids_and_service_urls_are_refused() {
        for id in ["../common", "a/b", "a?b", "", "..", "a b"] {
            let options = IdentityOptions { tenant_id: Some(id.into()), ..IdentityOptions::default() };
            assert!(chosen(&[], &options).is_err(), "{id}");
        }
        for url in ["http://evil.example/t", "ftp://127.0.0.1", "x"] {
            let pairs = [("IDENTITY_ENDPOINT", url), ("IDENTITY_HEADER", "h")];
            assert!(chosen(&pairs, &IdentityOptions::default()).is_err(), "{url}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let credential =
            chosen(&[&IDS[..], &[("AZURE_CLIENT_SECRET", "hunter2")]].concat(), &IdentityOptions::default());
        let text = format!("{:?}", credential.unwrap());
        assert!(text.contains("ClientSecret") && text.contains("t-1") && !text.contains("hunter2"), "{text}");
    }
}
