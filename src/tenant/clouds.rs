//! Which hosts a cloud has, and which other hosts may ever see a credential.
//!
//! Opens no connection. Every host that this program talks to on behalf of a tenant passes [`Origin`] here.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use super::error::{TenantError, TenantErrorKind};

/// A cloud with its own sign-in and API hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Cloud {
    /// The commercial cloud.
    #[default]
    Public,
    /// US government community cloud: commercial sign-in, own API host.
    Gcc,
    /// US government, high.
    GccHigh,
    /// US department of defense.
    Dod,
}

impl Cloud {
    /// All clouds, in the order of the documentation.
    pub const ALL: [Cloud; 4] = [Cloud::Public, Cloud::Gcc, Cloud::GccHigh, Cloud::Dod];

    /// The word in `mdetag.yaml`, plans and the state directory.
    pub fn word(self) -> &'static str {
        match self {
            Cloud::Public => "public",
            Cloud::Gcc => "gcc",
            Cloud::GccHigh => "gcc-high",
            Cloud::Dod => "dod",
        }
    }

    /// The cloud with exactly this word.
    pub fn parse(word: &str) -> Option<Cloud> {
        Cloud::ALL.into_iter().find(|cloud| cloud.word() == word)
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The regions of the public cloud that have an API host of their own.
pub const GEOS: [&str; 7] = ["us", "eu", "uk", "au", "swa", "ina", "aea"];

/// `mdetag.yaml`'s `endpoints`, or the `MDETAG_…_URL` variables: hosts in place of the cloud's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In place of the API host: `https://host[:port]`.
    pub api: Option<String>,
    /// In place of the sign-in host.
    pub login: Option<String>,
    /// In place of the Microsoft Graph host.
    pub graph: Option<String>,
}

/// Scheme, host and port that requests may go to: checked once, here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    url: Url,
}

impl Origin {
    fn known(text: &str) -> Origin {
        Origin { url: Url::parse(text).expect("the table of hosts holds URLs") }
    }

    /// An origin that is not in the table: `https` to a loopback address or to a host that `allowed` names, `http` to
    /// loopback only.
    ///
    /// # Errors
    /// The text is no bare origin, or its host is not allowed; `setting` says in the message where it came from.
    pub(super) fn checked(setting: &str, text: &str, allowed: &[String]) -> Result<Origin, TenantError> {
        let wrong = |why: String| {
            TenantError::new(TenantErrorKind::Configuration, format!("{setting}: `{}` {why}", shown(text)))
        };
        let url = Url::parse(text).map_err(|_| {
            wrong("is not a URL".to_owned())
                .help("write scheme and host, such as https://api.security.microsoft.com")
        })?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !bare || !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("is more than scheme, host and port".to_owned())
                .help("leave out the path, the query and any user name"));
        }
        let host = url.host_str().unwrap_or("").to_ascii_lowercase();
        let loopback = is_loopback(&host);
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => {
                return Err(wrong("would send a credential without encryption".to_owned())
                    .help("use https; plain http is for loopback addresses only"));
            }
            _ => return Err(wrong("is neither https nor http".to_owned())),
        }
        if !loopback && !allowed.iter().any(|entry| entry.trim().eq_ignore_ascii_case(&host)) {
            return Err(wrong(format!("names the host {host}, which no cloud of this service uses"))
                .help("a file in a pull request must not be able to send a credential elsewhere")
                .help(format!(
                    "if {host} is meant, set the environment variable MDETAG_ALLOW_HOSTS={host}"
                )));
        }
        Ok(Origin { url })
    }

    /// Whether this is an address of this computer: such requests never go through a proxy.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.url.host_str().unwrap_or(""))
    }

    /// Scheme, host and port without a slash at the end.
    pub fn as_str(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The host, for messages.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or("")
    }

    /// Whether a URL has this scheme, host and port.
    pub(super) fn holds(&self, url: &Url) -> bool {
        self.url.origin() == url.origin() && url.username().is_empty() && url.password().is_none()
    }

    /// The URL of a path (with its query) here.
    pub(super) fn at(&self, path: &str) -> Url {
        let url = self.url.join(path).expect("paths are built from encoded parts");
        assert!(self.holds(&url), "a path cannot lead to another host");
        url
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A setting's text for a message: a URL may hold a password before `@`, and that must not be printed.
fn shown(text: &str) -> String {
    let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    text.chars().filter(|scalar| !scalar.is_control()).take(120).collect()
}

/// Whether a host as a URL writes it is an address of this computer.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a host is one of the device API's own, in any cloud, region or age: links name them instead of the host that
/// was called.
pub(super) fn is_service_host(host: &str) -> bool {
    let current = host.strip_suffix("api.security.microsoft.com").map(|geo| geo.trim_end_matches('.'));
    let legacy = host
        .strip_suffix(".securitycenter.microsoft.com")
        .or(host.strip_suffix(".securitycenter.windows.com"));
    let government = ["api-gcc.securitycenter.microsoft.us", "api-gov.securitycenter.microsoft.us"];
    current.is_some_and(|geo| geo.is_empty() || (GEOS.contains(&geo) && host.contains(".api.")))
        || legacy.is_some_and(|name| matches!(name, "api" | "api-us" | "api-eu" | "api-uk" | "api-au"))
        || government.contains(&host)
}

/// The hosts of one tenant and the audiences of its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The cloud they belong to.
    pub cloud: Cloud,
    /// Where tokens come from.
    pub login: Origin,
    /// The device API.
    pub api: Origin,
    /// Microsoft Graph, for hunting.
    pub graph: Origin,
    /// Audience of tokens for the device API: the cloud's legacy host, whatever host is called.
    pub api_audience: &'static str,
    /// Audience of tokens for Microsoft Graph.
    pub graph_audience: &'static str,
}

impl Endpoints {
    /// The hosts of a cloud, of a region of the public cloud, or those that `overrides` name. `allowed` holds hosts that
    /// the environment vouches for (`MDETAG_ALLOW_HOSTS`).
    ///
    /// # Errors
    /// An unknown region, a region outside the public cloud, or an override that [`Origin`] refuses.
    pub fn new(
        cloud: Cloud,
        geo: Option<&str>,
        overrides: &Overrides,
        allowed: &[String],
    ) -> Result<Endpoints, TenantError> {
        let mut endpoints = Endpoints::of(cloud);
        if let Some(geo) = geo {
            endpoints.api = regional(cloud, geo)?;
        }
        let places = [
            ("endpoints.api (or MDETAG_API_URL)", &overrides.api, &mut endpoints.api),
            ("endpoints.login (or MDETAG_LOGIN_URL)", &overrides.login, &mut endpoints.login),
            ("endpoints.graph (or MDETAG_GRAPH_URL)", &overrides.graph, &mut endpoints.graph),
        ];
        for (setting, text, origin) in places {
            let Some(text) = text else { continue };
            // Naming the very host that the cloud has anyway needs nobody's leave.
            if Url::parse(text).is_ok_and(|url| origin.url == url) {
                continue;
            }
            *origin = Origin::checked(setting, text, allowed)?;
        }
        Ok(endpoints)
    }

    /// The table of the documentation.
    fn of(cloud: Cloud) -> Endpoints {
        let (login, api, api_audience, graph_audience) = match cloud {
            Cloud::Public => (
                "https://login.microsoftonline.com",
                "https://api.security.microsoft.com",
                "https://api.securitycenter.microsoft.com",
                "https://graph.microsoft.com",
            ),
            Cloud::Gcc => (
                "https://login.microsoftonline.com",
                "https://api-gcc.securitycenter.microsoft.us",
                "https://api-gcc.securitycenter.microsoft.us",
                "https://graph.microsoft.com",
            ),
            Cloud::GccHigh => (
                "https://login.microsoftonline.us",
                "https://api-gov.securitycenter.microsoft.us",
                "https://api-gov.securitycenter.microsoft.us",
                "https://graph.microsoft.us",
            ),
            Cloud::Dod => (
                "https://login.microsoftonline.us",
                "https://api-gov.securitycenter.microsoft.us",
                "https://api-gov.securitycenter.microsoft.us",
                "https://dod-graph.microsoft.us",
            ),
        };
        Endpoints {
            cloud,
            login: Origin::known(login),
            api: Origin::known(api),
            graph: Origin::known(graph_audience),
            api_audience,
            graph_audience,
        }
    }
}

/// The API host of a region.
fn regional(cloud: Cloud, geo: &str) -> Result<Origin, TenantError> {
    let wrong = |what: String| TenantError::new(TenantErrorKind::Configuration, what);
    if cloud != Cloud::Public {
        return Err(wrong(format!(
            "`geo: {}` is set, but only the public cloud has regions; this is {cloud}",
            shown(geo)
        ))
        .help("leave out `geo`"));
    }
    if !GEOS.contains(&geo) {
        return Err(wrong(format!("`{}` is not a region of the service", shown(geo)))
            .help(format!("use one of {}, or leave out `geo`", GEOS.join(", "))));
    }
    Ok(Origin::known(&format!("https://{geo}.api.security.microsoft.com")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(cloud: Cloud, geo: Option<&str>) -> [String; 5] {
        let ends = Endpoints::new(cloud, geo, &Overrides::default(), &[]).unwrap();
        let audiences = [ends.api_audience.to_owned(), ends.graph_audience.to_owned()];
        let [api_audience, graph_audience] = audiences;
        [
            ends.login.host().into(),
            ends.api.host().into(),
            ends.graph.host().into(),
            api_audience,
            graph_audience,
        ]
    }

    #[test]
    fn each_cloud_has_its_documented_hosts_and_the_legacy_audience() {
        let public = "https://api.securitycenter.microsoft.com";
        let (gcc, gov) =
            ("https://api-gcc.securitycenter.microsoft.us", "https://api-gov.securitycenter.microsoft.us");
        let (com, us) = ("login.microsoftonline.com", "login.microsoftonline.us");
        let graph = ("graph.microsoft.com", "https://graph.microsoft.com");
        let table = [
            (Cloud::Public, None, [com, "api.security.microsoft.com", graph.0, public, graph.1]),
            (Cloud::Public, Some("eu"), [com, "eu.api.security.microsoft.com", graph.0, public, graph.1]),
            (Cloud::Gcc, None, [com, "api-gcc.securitycenter.microsoft.us", graph.0, gcc, graph.1]),
            (
                Cloud::GccHigh,
                None,
                [
                    us,
                    "api-gov.securitycenter.microsoft.us",
                    "graph.microsoft.us",
                    gov,
                    "https://graph.microsoft.us",
                ],
            ),
            (
                Cloud::Dod,
                None,
                [
                    us,
                    "api-gov.securitycenter.microsoft.us",
                    "dod-graph.microsoft.us",
                    gov,
                    "https://dod-graph.microsoft.us",
                ],
            ),
        ];
        for (cloud, geo, expected) in table {
            assert_eq!(hosts(cloud, geo), expected.map(str::to_owned), "{cloud} {geo:?}");
        }
        for geo in GEOS {
            let expected = format!("{geo}.api.security.microsoft.com");
            assert_eq!(hosts(Cloud::Public, Some(geo))[1], expected);
            assert!(Endpoints::new(Cloud::Gcc, Some(geo), &Overrides::default(), &[]).is_err());
        }
        assert!(Endpoints::new(Cloud::Public, Some("de"), &Overrides::default(), &[]).is_err());
    }

    fn api(text: &str, allowed: &[&str]) -> Result<Endpoints, TenantError> {
        let overrides = Overrides { api: Some(text.to_owned()), ..Overrides::default() };
        let allowed: Vec<String> = allowed.iter().map(|host| (*host).to_owned()).collect();
        Endpoints::new(Cloud::Public, None, &overrides, &allowed)
    }

    #[test]
    fn other_hosts_need_loopback_or_the_environments_leave() {
        for fine in ["http://127.0.0.1:8080", "http://[::1]:1", "http://localhost:5", "https://127.9.9.9"] {
            assert!(api(fine, &[]).unwrap().api.is_loopback(), "{fine}");
        }
        assert!(api("https://api.security.microsoft.com", &[]).is_ok());
        let refused = api("https://evil.example.com", &[]).unwrap_err();
        assert!(
            refused.help.iter().any(|step| step.contains("MDETAG_ALLOW_HOSTS=evil.example.com")),
            "{refused:?}"
        );
        assert!(api("https://proxy.example.com", &["Proxy.Example.com"]).is_ok());
        assert!(
            api("http://proxy.example.com", &["proxy.example.com"]).is_err(),
            "plain http is for loopback only"
        );
    }

    #[test]
    fn origins_that_only_look_local_are_refused() {
        let hostile = [
            "http://127.0.0.1.example.com",
            "http://127.0.0.1@example.com",
            "http://user:hunter2@127.0.0.1",
            "http://0.0.0.0",
            "http://localhost.example.com",
            "https://api.security.microsoft.com.example.com",
            "https://api.security.microsoft.com:8443",
            "file:///etc/passwd",
            "http://127.0.0.1/path",
            "http://127.0.0.1/?q",
            "",
        ];
        for text in hostile {
            let error = api(text, &[]).expect_err(text);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
