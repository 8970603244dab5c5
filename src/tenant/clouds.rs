//! The hosts of each cloud, and the other hosts that may see a credential.
//!
//! Opens no connection. Every host that mdetag calls for a tenant passes [`Origin`] here.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use mdetag_core::cloud::{Cloud, Region};

use super::error::{TenantError, TenantErrorKind};

/// The source of a host setting. A file may come from a pull request; whoever sets the environment has the credential anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NamedBy {
    /// A `MDETAG_…_URL` variable.
    Environment,
    /// `mdetag.yaml`.
    File,
}

/// A host that replaces the cloud's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// `https://host[:port]`.
    pub url: String,
    /// Decides which hosts are accepted.
    pub named_by: NamedBy,
}

impl Override {
    /// A host from the environment or from this process itself.
    pub fn environment(url: impl Into<String>) -> Override {
        Override { url: url.into(), named_by: NamedBy::Environment }
    }

    /// A host from a file.
    pub fn file(url: impl Into<String>) -> Override {
        Override { url: url.into(), named_by: NamedBy::File }
    }
}

/// Hosts that replace the cloud's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Replaces the API host.
    pub api: Option<Override>,
    /// Replaces the sign-in host.
    pub login: Option<Override>,
    /// Replaces the Microsoft Graph host.
    pub graph: Option<Override>,
}

impl Overrides {
    /// One service on this computer for everything.
    pub fn local(url: &str) -> Overrides {
        let host = Some(Override::environment(url));
        Overrides { api: host.clone(), login: host.clone(), graph: host }
    }
}

/// Scheme, host and port of requests, checked once when this is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    url: Url,
}

impl Origin {
    fn known(text: &str) -> Origin {
        Origin { url: Url::parse(text).expect("the table of hosts holds URLs") }
    }

    /// An origin outside of the table: one that `allowed` names with its port, or a loopback address from the environment. `http`
    /// only to loopback.
    ///
    /// # Errors
    /// The text is not a bare origin, or its host is not allowed; `setting` names its source in the message.
    pub(super) fn checked(
        setting: &str,
        named: &Override,
        allowed: &[String],
    ) -> Result<Origin, TenantError> {
        let text = named.url.as_str();
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
        let trusted = loopback && named.named_by == NamedBy::Environment;
        if !trusted && !allowed.iter().any(|entry| allows(entry, &url)) {
            let place = format!("{host}:{}", url.port_or_known_default().unwrap_or(443));
            let why = match loopback {
                true => format!("names {place} on this computer, where another program may listen"),
                false => format!("names the host {host}, which no cloud of this service uses"),
            };
            return Err(wrong(why)
                .help("a file in a pull request must not be able to send a credential elsewhere")
                .help(format!(
                    "if {place} is meant, set the environment variable MDETAG_ALLOW_HOSTS={place}"
                )));
        }
        Ok(Origin { url })
    }

    /// Whether it is an address of this computer: such requests never use a proxy.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.url.host_str().unwrap_or(""))
    }

    /// Scheme, host and port without a slash at the end.
    pub fn as_str(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The host without scheme and port, for messages.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or("")
    }

    /// Whether a URL has this scheme, host and port.
    pub(super) fn holds(&self, url: &Url) -> bool {
        self.url.origin() == url.origin() && url.username().is_empty() && url.password().is_none()
    }

    /// The URL of a path (with its query) at this origin.
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

/// Whether an entry of `MDETAG_ALLOW_HOSTS` names the host and port of a URL. Without a port it means that of https.
fn allows(entry: &str, url: &Url) -> bool {
    let entry = entry.trim();
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (!host.contains(':') || host.ends_with(']')) => {
            (host, port.parse().ok())
        }
        _ => (entry, Some(443)),
    };
    port.is_some()
        && port == url.port_or_known_default()
        && url.host_str().is_some_and(|named| named.eq_ignore_ascii_case(host))
}

/// A setting's text for a message: a URL may contain a password before `@`, which must not be printed.
fn shown(text: &str) -> String {
    let text = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    text.chars().filter(|scalar| !scalar.is_control()).take(120).collect()
}

/// Whether a host in the form of a URL is an address of this computer.
pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether a host is one of the device API's own in any cloud, region or version. Links may name these instead of the host that
/// was called.
pub(super) fn is_service_host(host: &str) -> bool {
    let current = host.strip_suffix("api.security.microsoft.com").map(|geo| geo.trim_end_matches('.'));
    let legacy = host
        .strip_suffix(".securitycenter.microsoft.com")
        .or(host.strip_suffix(".securitycenter.windows.com"));
    let government = ["api-gcc.securitycenter.microsoft.us", "api-gov.securitycenter.microsoft.us"];
    current.is_some_and(|geo| geo.is_empty() || (Region::parse(geo).is_some() && host.contains(".api.")))
        || legacy.is_some_and(|name| matches!(name, "api" | "api-us" | "api-eu" | "api-uk" | "api-au"))
        || government.contains(&host)
}

/// The hosts of one tenant and the audiences of its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The cloud they belong to.
    pub cloud: Cloud,
    /// The sign-in service.
    pub login: Origin,
    /// The device API of the service.
    pub api: Origin,
    /// Microsoft Graph, for hunting.
    pub graph: Origin,
    /// The audience of tokens for the device API: the cloud's legacy host, whichever host is called.
    pub api_audience: &'static str,
    /// Audience of tokens for Microsoft Graph.
    pub graph_audience: &'static str,
}

impl Endpoints {
    /// The hosts of a cloud, of a region of the public cloud, or those in `overrides`. `allowed` are hosts that the environment
    /// allows (`MDETAG_ALLOW_HOSTS`).
    ///
    /// # Errors
    /// A region outside of the public cloud, or an override that [`Origin`] refuses.
    pub fn new(
        cloud: Cloud,
        geo: Option<Region>,
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
        for (setting, named, origin) in places {
            let Some(named) = named else { continue };
            // The cloud's own host is always allowed.
            if Url::parse(&named.url).is_ok_and(|url| origin.url == url) {
                continue;
            }
            *origin = Origin::checked(setting, named, allowed)?;
        }
        Ok(endpoints)
    }

    /// The documentation's table.
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
fn regional(cloud: Cloud, geo: Region) -> Result<Origin, TenantError> {
    let wrong = |what: String| TenantError::new(TenantErrorKind::Configuration, what);
    if cloud != Cloud::Public {
        return Err(wrong(format!(
            "`geo: {geo}` is set, but only the public cloud has regions; this is {cloud}"
        ))
        .help("leave out `geo`"));
    }
    Ok(Origin::known(&format!("https://{geo}.api.security.microsoft.com")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(cloud: Cloud, geo: Option<Region>) -> [String; 5] {
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
            (
                Cloud::Public,
                Some(Region::Eu),
                [com, "eu.api.security.microsoft.com", graph.0, public, graph.1],
            ),
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
        for geo in Region::ALL {
            let expected = format!("{geo}.api.security.microsoft.com");
            assert_eq!(hosts(Cloud::Public, Some(geo))[1], expected);
            assert!(Endpoints::new(Cloud::Gcc, Some(geo), &Overrides::default(), &[]).is_err());
        }
    }

    fn api(text: &str, allowed: &[&str]) -> Result<Endpoints, TenantError> {
        named(Override::environment(text), allowed)
    }

    fn named(api: Override, allowed: &[&str]) -> Result<Endpoints, TenantError> {
        let overrides = Overrides { api: Some(api), ..Overrides::default() };
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
            refused.help.iter().any(|step| step.contains("MDETAG_ALLOW_HOSTS=evil.example.com:443")),
            "{refused:?}"
        );
        assert!(api("https://proxy.example.com", &["Proxy.Example.com"]).is_ok());
        assert!(
            api("http://proxy.example.com", &["proxy.example.com"]).is_err(),
            "plain http is for loopback only"
        );
    }

    #[test]
    fn a_file_needs_leave_for_each_port_even_on_loopback() {
        let local = "http://127.0.0.1:8080";
        let refused = named(Override::file(local), &[]).unwrap_err();
        assert!(
            refused.help.iter().any(|step| step.ends_with("MDETAG_ALLOW_HOSTS=127.0.0.1:8080")),
            "{refused:?}"
        );
        let wrong = ["127.0.0.1", "127.0.0.1:8081", "127.0.0.1:", "localhost:8080", "127.0.0.1:99999999", ""];
        for entry in wrong {
            assert!(named(Override::file(local), &[entry]).is_err(), "{entry}");
        }
        assert!(named(Override::file(local), &["x.example", "127.0.0.1:8080"]).is_ok());
        assert!(named(Override::file("http://[::1]:9"), &["[::1]:9"]).is_ok());
        assert!(named(Override::file("https://far.example"), &["far.example"]).is_ok());
        assert!(named(Override::file("https://far.example"), &["far.example:443"]).is_ok());
        for entry in ["far.example", "far.example:443"] {
            assert!(named(Override::file("https://far.example:8443"), &[entry]).is_err(), "{entry}");
            assert!(api("https://far.example:8443", &[entry]).is_err(), "{entry}");
        }
        // The cloud's own hosts are always allowed.
        assert!(named(Override::file("https://api.security.microsoft.com"), &[]).is_ok());
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
