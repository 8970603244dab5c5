//! The settings of a sandbox: its tenant, its app, its fleet's seed, and the credentials that its sign-in accepts.
//!
//! Reads and writes no file; that is `disk`.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use mdetag_vocabulary::hex;
use mdetag_vocabulary::time::Timestamp;

/// The tenant id of a sandbox, unless a policy pins another.
pub const TENANT_ID: &str = "5a4db0c5-1111-4222-8333-444455556666";
/// The app of every sandbox.
pub const CLIENT_ID: &str = "5a4db0c5-aaaa-4bbb-8ccc-ddddeeeeffff";

/// Options of a new sandbox, and those of this process alone.
#[derive(Clone, Debug)]
pub struct Options {
    /// Devices of a new sandbox.
    pub devices: u64,
    /// Seed of a new sandbox.
    pub seed: u64,
    /// The tenant id, which is saved: an existing sandbox takes it over, so that later commands find what this one wrote.
    pub tenant_id: Option<String>,
    /// Windows and delays are this many times shorter than documented; 1 is real time.
    pub speed: u32,
    /// `NAME=VALUE` of the table in [`super::table`], for this process.
    pub faults: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { devices: 2000, seed: 1, tenant_id: None, speed: 1, faults: Vec::new() }
    }
}

/// Why a sandbox could not be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Nothing can be read or written at this path.
    #[error("the sandbox's file {path}: {source}")]
    File { path: String, source: std::io::Error },
    /// A file holds something that no sandbox wrote.
    #[error("{path} is no sandbox of this version: {detail}; remove the directory to start anew")]
    Foreign { path: String, detail: String },
    /// `create` in a directory that has a sandbox.
    #[error("there is a sandbox in {path} already; remove the directory to start anew, or use it as it is")]
    Exists { path: String },
    /// A fleet that cannot be read.
    #[error("the fleet cannot be used: {0}")]
    Fleet(String),
    #[error("{0}")]
    Switch(String),
    /// Another process serves it, and this one asked for settings that only the server has.
    #[error(
        "another process serves the sandbox in {path}, so its speed and faults hold: give them there, or wait until it ends"
    )]
    InUse { path: String },
    /// Another process holds the sandbox and does not answer.
    #[error("another process holds the sandbox in {path} but does not serve it; wait until it ends")]
    Busy { path: String },
    #[error("the sandbox cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
}

/// The saved settings of a sandbox.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    pub(super) format_version: String,
    pub(super) tenant_id: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    /// The key of the access tokens, in hex.
    signing_key: String,
    /// The `X-IDENTITY-HEADER` that the App Service endpoint requires.
    pub(super) identity_header: String,
    pub(super) devices: u64,
    pub(super) seed: u64,
    pub(super) created: Timestamp,
    /// `NAME=VALUE` that hold for every process.
    #[serde(default)]
    pub(super) switches: Vec<String>,
    /// Certificates that the app may sign in with: base64 of the DER form.
    #[serde(default)]
    pub(super) certificates: Vec<String>,
    /// Federated credentials of the app.
    #[serde(default)]
    pub(super) federated: Vec<Federated>,
}

/// A federated credential: the issuer, subject and audience of the tokens that the app accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Federated {
    /// Exactly the `iss` of the token.
    pub issuer: String,
    /// Exactly the `sub` of the token.
    pub subject: String,
    /// The `aud` of the token, nearly always `api://AzureADTokenExchange`.
    pub audience: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Settings {{ tenant {}, {} devices, seed {} }}", self.tenant_id, self.devices, self.seed)
    }
}

impl Settings {
    pub(super) fn new(options: &Options, created: Timestamp) -> Settings {
        Settings {
            format_version: "1.0".to_owned(),
            tenant_id: options.tenant_id.clone().unwrap_or_else(|| TENANT_ID.to_owned()),
            client_id: CLIENT_ID.to_owned(),
            client_secret: format!("sandbox~{}", secret()),
            signing_key: secret(),
            identity_header: secret(),
            devices: options.devices,
            seed: options.seed,
            created,
            switches: Vec::new(),
            certificates: Vec::new(),
            federated: usual_federated(),
        }
    }

    /// The bytes that sign access tokens.
    pub(super) fn signing_key(&self) -> Vec<u8> {
        self.signing_key.clone().into_bytes()
    }
}

/// The credentials that the documented recipes use: a repository's main branch in its old and its immutable form, and a pod.
fn usual_federated() -> Vec<Federated> {
    let row = |issuer: &str, subject: &str| Federated {
        issuer: issuer.to_owned(),
        subject: subject.to_owned(),
        audience: "api://AzureADTokenExchange".to_owned(),
    };
    vec![
        row("https://token.actions.githubusercontent.com", "repo:example-org/policies:ref:refs/heads/main"),
        row(
            "https://token.actions.githubusercontent.com",
            "repo:example-org@1234567/policies@7654321:ref:refs/heads/main",
        ),
        row("https://oidc.cluster.example", "system:serviceaccount:mdetag:mdetag"),
    ]
}

/// Random hex that nobody can guess: no other process on this computer may sign in by chance.
fn secret() -> String {
    let mut bytes = [0u8; 16];
    SystemRandom::new().fill(&mut bytes).expect("the system has random numbers");
    hex::digits(&bytes)
}
