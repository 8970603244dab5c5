//! A certificate with its key, and the assertions that it signs: PS256, identified by the certificate's SHA-256.
//!
//! Reads only PEM. PKCS#12 would need several crates and weak ciphers; the error says how to convert it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{RSA_PSS_SHA256, RsaKeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use serde_json::json;

use crate::store::path_text::shown;
use crate::store::regular_file;
use crate::tenant::error::{TenantError, TenantErrorKind};
use mdetag_core::time::Timestamp;

/// The largest certificate file with its chain and key, in bytes; real ones have a few kilobytes.
const MOST_CERTIFICATE: u64 = 1 << 20;

/// The life of an assertion in seconds: long enough for a wrong clock, short enough to be worthless in a log.
const LIFE: i64 = 540;

/// Signs assertions for one application.
pub(super) struct Signer {
    key: RsaKeyPair,
    thumbprint: String,
}

impl Signer {
    /// Reads a PEM file with a certificate and its RSA key, in any order. Of a chain, the certificate of the key is used.
    ///
    /// # Errors
    /// The file cannot be read, or has no such pair; for PKCS#12 and encrypted keys, with the command that converts them.
    pub(super) fn load(path: &Path) -> Result<Signer, TenantError> {
        let shown = shown(path);
        let bytes = regular_file::bytes(path, MOST_CERTIFICATE).map_err(|why| {
            wrong(format!("AZURE_CLIENT_CERTIFICATE_PATH: {shown} cannot be read: {why}"))
                .help("name a PEM file with the certificate and its key that this user may read")
        })?;
        Signer::parse(&bytes).map_err(|why| {
            wrong(format!("AZURE_CLIENT_CERTIFICATE_PATH: {shown} {why}")).help(format!(
                "convert it to PEM with: openssl pkcs12 -in {shown} -out app.pem -nodes (a PFX file), or: openssl rsa -in \
                 {shown} (an encrypted key)"
            ))
        })
    }

    fn parse(bytes: &[u8]) -> Result<Signer, &'static str> {
        if bytes.first() == Some(&0x30) {
            return Err("is binary (a PFX file?), but a PEM file is needed");
        }
        let text = String::from_utf8_lossy(bytes);
        if text.contains("ENCRYPTED") {
            return Err("holds an encrypted key, which is not supported");
        }
        let key =
            match PrivateKeyDer::from_pem_slice(bytes).map_err(|_| "holds no private key in PEM form")? {
                PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
                PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                _ => return Err("holds a key that is no RSA key; Entra takes RSA keys of 2048 bits or more"),
            };
        let key = key.map_err(|_| "holds a key that is no RSA key of 2048 bits or more")?;
        let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(bytes).flatten().collect();
        if certificates.is_empty() {
            return Err("holds no certificate; it needs the certificate and the key, one after the other");
        }
        // A certificate contains its public key in the same encoding as the key pair.
        let public = key.public().as_ref();
        let own = certificates.iter().find(|der| der.windows(public.len()).any(|window| window == public));
        let own = own.ok_or("holds a certificate and a key that do not belong together")?;
        let thumbprint = URL_SAFE_NO_PAD.encode(digest(&SHA256, own));
        Ok(Signer { key, thumbprint })
    }

    /// A fresh assertion for a token URL.
    pub(super) fn assertion(
        &self,
        client: &str,
        token_url: &str,
        now: Timestamp,
    ) -> Result<SecretString, TenantError> {
        let random = SystemRandom::new();
        let mut id = [0u8; 16];
        let failed = |_| wrong("the system gives no random numbers".to_owned());
        random.fill(&mut id).map_err(failed)?;
        let header = json!({ "alg": "PS256", "typ": "JWT", "x5t#S256": self.thumbprint });
        let claims = json!({
            "aud": token_url, "iss": client, "sub": client, "jti": URL_SAFE_NO_PAD.encode(id),
            "nbf": now.seconds(), "iat": now.seconds(), "exp": now.seconds() + LIFE,
        });
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PSS_SHA256, &random, signed.as_bytes(), &mut signature).map_err(failed)?;
        Ok(SecretString::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

fn wrong(what: String) -> TenantError {
    TenantError::new(TenantErrorKind::Configuration, what)
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
    use secrecy::ExposeSecret;

    use super::*;

    /// A throwaway pair made for this test: `openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=mdetag-test`.
    const PAIR: &[u8] = include_bytes!("testdata/app.pem");

    #[test]
    fn assertions_are_signed_with_ps256_and_name_the_certificate_by_sha256() {
        let signer = Signer::parse(PAIR).unwrap();
        let url = "https://login.microsoftonline.com/t/oauth2/v2.0/token";
        let token = signer.assertion("app-1", url, Timestamp::from_seconds(1_000_000)).unwrap();
        let parts: Vec<&str> = token.expose_secret().split('.').collect();
        let json = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = (json(parts[0]), json(parts[1]));
        assert_eq!((&header["alg"], &header["typ"]), (&"PS256".into(), &"JWT".into()));
        let der = CertificateDer::from_pem_slice(PAIR).unwrap();
        assert_eq!(header["x5t#S256"], URL_SAFE_NO_PAD.encode(digest(&SHA256, &der)));
        assert_eq!(
            (&claims["aud"], &claims["iss"], &claims["sub"]),
            (&url.into(), &"app-1".into(), &"app-1".into())
        );
        let life = claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap();
        assert!((300..=600).contains(&life), "{life}");
        let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, signer.key.public().as_ref());
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        key.verify(format!("{}.{}", parts[0], parts[1]).as_bytes(), &signature).unwrap();
        let again = signer.assertion("app-1", url, Timestamp::from_seconds(1_000_000)).unwrap();
        assert_ne!(json(again.expose_secret().split('.').nth(1).unwrap())["jti"], claims["jti"]);
    }

    #[test]
    fn files_that_are_no_pair_say_what_they_are() {
        let text = String::from_utf8(PAIR.to_vec()).unwrap();
        let (key, certificate) = text.split_at(text.find("-----BEGIN CERTIFICATE").unwrap());
        let cases = [
            (&b"\x30\x82\x01"[..], "binary"),
            (b"", "no private key"),
            (certificate.as_bytes(), "no private key"),
            (key.as_bytes(), "no certificate"),
            (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", "encrypted"),
        ];
        for (bytes, expected) in cases {
            let why = Signer::parse(bytes).err().unwrap();
            assert!(why.contains(expected), "{why}");
        }
        let error = Signer::load(Path::new("/nowhere/app.pfx")).err().unwrap();
        assert!(error.what.contains("/nowhere/app.pfx cannot be read"), "{error}");
    }
}
