//! The kinds of credentials, in the order in which they are tried.
//!
//! Tries none; `auth` does.

use std::fmt;

/// A kind of credential, in the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialSource {
    /// `AZURE_CLIENT_SECRET`.
    ClientSecret,
    /// `AZURE_CLIENT_CERTIFICATE_PATH`.
    Certificate,
    /// `AZURE_FEDERATED_TOKEN_FILE`: workload identity of Kubernetes, or a token of any other issuer in a file.
    FederatedTokenFile,
    /// GitHub's OIDC variables.
    GitHub,
    /// `IDENTITY_ENDPOINT`: managed identity of App Service, Functions or Container Apps.
    AppService,
    /// Managed identity of a virtual machine (IMDS).
    ManagedIdentity,
    /// An existing login of the Azure CLI.
    AzureCli,
}

impl CredentialSource {
    /// All kinds, in the order in which they are tried.
    pub const ALL: [CredentialSource; 7] = [
        CredentialSource::ClientSecret,
        CredentialSource::Certificate,
        CredentialSource::FederatedTokenFile,
        CredentialSource::GitHub,
        CredentialSource::AppService,
        CredentialSource::ManagedIdentity,
        CredentialSource::AzureCli,
    ];

    /// The word in logs and settings.
    pub fn word(self) -> &'static str {
        match self {
            CredentialSource::ClientSecret => "client-secret",
            CredentialSource::Certificate => "certificate",
            CredentialSource::FederatedTokenFile => "federated-token-file",
            CredentialSource::GitHub => "github-oidc",
            CredentialSource::AppService => "app-service-identity",
            CredentialSource::ManagedIdentity => "managed-identity",
            CredentialSource::AzureCli => "azure-cli",
        }
    }

    /// The name that messages use.
    pub fn name(self) -> &'static str {
        match self {
            CredentialSource::ClientSecret => "the client secret in AZURE_CLIENT_SECRET",
            CredentialSource::Certificate => "the certificate of AZURE_CLIENT_CERTIFICATE_PATH",
            CredentialSource::FederatedTokenFile => "the token in AZURE_FEDERATED_TOKEN_FILE",
            CredentialSource::GitHub => "GitHub's OIDC token",
            CredentialSource::AppService => "the managed identity of IDENTITY_ENDPOINT",
            CredentialSource::ManagedIdentity => "the managed identity of this virtual machine",
            CredentialSource::AzureCli => "the login of the Azure CLI",
        }
    }
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
