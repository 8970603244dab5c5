//! The meaning of Entra's error numbers, and how to fix them. Code decides by the `error` word; the numbers are for people.
//!
//! Knows a dozen of several hundred: the ones that an application meets.

/// The meaning of an AADSTS number, and the fix.
pub(super) fn meaning(number: u64) -> Option<(&'static str, &'static str)> {
    Some(match number {
        90002 => (
            "the tenant does not exist in this cloud",
            "check `tenantId`, and `cloud`: a government tenant is unknown to the public sign-in",
        ),
        700_016 | 7_000_229 => (
            "the application does not exist in this tenant",
            "check `clientId`; an application of another tenant needs an administrator's consent in this one first",
        ),
        7_000_215 => (
            "the client secret is wrong",
            "copy the secret's value, not its id; better: use a federated credential, which has no secret",
        ),
        7_000_222 => (
            "the client secret has expired",
            "create a new one under App registrations > the app > Certificates & secrets; better: use a federated \
             credential, which does not expire",
        ),
        7_000_218 => ("the request held neither secret nor assertion", "set one of the AZURE_ credentials"),
        700_027 => (
            "the signature of the assertion is not by a certificate of this application",
            "upload the certificate (public part) under App registrations > the app > Certificates & secrets",
        ),
        700_024 => (
            "the assertion's time is wrong",
            "set this computer's clock: `mdetag doctor` shows the difference",
        ),
        700_212 => (
            "the assertion is for another audience",
            "set the federated credential's audience to api://AzureADTokenExchange",
        ),
        70_021 | 700_211 | 700_213 => (
            "no federated credential of the application fits this token's issuer and subject",
            "compare the subject in this message with App registrations > the app > Certificates & secrets > Federated \
             credentials, letter by letter; GitHub repositories made after July 2026 have subjects with numeric ids",
        ),
        70_011 | 1_002_012 => ("the scope is not one that an application may ask for", "check `cloud`"),
        500_011 | 650_052 => (
            "the tenant does not know the Defender API",
            "check that the tenant has Defender for Endpoint, and that `cloud` is right",
        ),
        53_003 | 530_003 => (
            "a Conditional Access policy blocks this sign-in",
            "exclude the workload identity, or sign in from an allowed place",
        ),
        7_000_112 => {
            ("the application is disabled in this tenant", "enable it under Enterprise applications")
        }
        90_033 | 90_006 | 50_196 => ("the sign-in service is busy", "try again in a few minutes"),
        _ => return None,
    })
}

/// Whether the error may go away by itself: a new federated credential needs minutes to spread. The newer numbers name the issuer
/// (700211) or the subject (700213) that does not match, and waiting does not change that.
pub(super) fn spreads(number: u64) -> bool {
    number == 70_021
}
