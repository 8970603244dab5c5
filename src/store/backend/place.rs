//! The place of the state as flags, the environment and `mdetag.yaml` name it: a folder, or a prefix in a store.
//!
//! Opens nothing.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::fmt;
use std::path::{Path, PathBuf};

use crate::store::path_text::shown;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatePlace {
    Folder(PathBuf),
    /// A prefix in a store.
    Store(StoreAddress),
}

/// A prefix in a store. Its text is as people write it, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreAddress {
    /// `azblob://ACCOUNT/CONTAINER/PREFIX`.
    Blob {
        account: String,
        container: String,
        /// Empty, or folders without slashes at the ends.
        prefix: String,
    },
    /// `s3://BUCKET/PREFIX`.
    S3 {
        bucket: String,
        /// Empty, or folders without slashes at the ends.
        prefix: String,
    },
}

impl StatePlace {
    /// Parses the text of a user. A relative folder stays relative.
    ///
    /// # Errors
    /// A sentence, if it looks like the address of a store but is not one.
    pub fn parse(text: &str) -> Result<StatePlace, String> {
        match text.split_once("://") {
            Some((scheme, rest)) => StoreAddress::parse(scheme, rest)
                .map(StatePlace::Store)
                .map_err(|why| format!("`{text}` names no place for state: {why}")),
            None => Ok(StatePlace::Folder(PathBuf::from(text))),
        }
    }

    /// The folder, if it is one.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            StatePlace::Folder(folder) => Some(folder),
            StatePlace::Store(_) => None,
        }
    }
}

impl fmt::Display for StatePlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StatePlace::Folder(folder) => formatter.write_str(&shown(folder)),
            StatePlace::Store(address) => address.fmt(formatter),
        }
    }
}

impl StoreAddress {
    fn parse(scheme: &str, rest: &str) -> Result<StoreAddress, String> {
        let parts: Vec<&str> = rest.trim_end_matches('/').split('/').collect();
        let prefix = |from: usize| -> Result<String, String> {
            let parts = parts.get(from..).unwrap_or_default();
            match parts.iter().find(|part| !super::is_name(part)) {
                None => Ok(parts.join("/")),
                Some(part) => Err(format!("`{part}` is no folder name of letters, digits, `.`, `_` and `-`")),
            }
        };
        match (scheme, parts.as_slice()) {
            ("azblob", [account, container, ..]) => {
                let is_account = (3..=24).contains(&account.len())
                    && account.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
                if !is_account {
                    return Err("an account has 3 to 24 small letters and digits".to_owned());
                }
                let container = bucket(container)
                    .ok_or("a container has 3 to 63 small letters, digits and `-`".to_owned())?;
                Ok(StoreAddress::Blob { account: (*account).to_owned(), container, prefix: prefix(2)? })
            }
            ("s3", [name, ..]) => {
                let bucket = bucket(name)
                    .ok_or("a bucket has 3 to 63 small letters, digits, `.` and `-`".to_owned())?;
                Ok(StoreAddress::S3 { bucket, prefix: prefix(1)? })
            }
            _ => Err("write a folder, azblob://ACCOUNT/CONTAINER/PREFIX or s3://BUCKET/PREFIX".to_owned()),
        }
    }

    /// The store without the prefix, in the form of `MDETAG_ALLOW_HOSTS`.
    pub fn root(&self) -> String {
        match self {
            StoreAddress::Blob { account, container, .. } => format!("azblob://{account}/{container}"),
            StoreAddress::S3 { bucket, .. } => format!("s3://{bucket}"),
        }
    }

    /// Empty, or folders without slashes at the ends.
    pub fn prefix(&self) -> &str {
        match self {
            StoreAddress::Blob { prefix, .. } | StoreAddress::S3 { prefix, .. } => prefix,
        }
    }
}

impl fmt::Display for StoreAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.root())?;
        match self.prefix() {
            "" => Ok(()),
            prefix => write!(formatter, "/{prefix}"),
        }
    }
}

fn bucket(name: &str) -> Option<String> {
    let is_safe =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    ((3..=63).contains(&name.len()) && name.bytes().all(is_safe)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_was_read_without_a_slash_at_its_end() {
        for (text, root, prefix) in [
            ("azblob://contosostate/mdetag/prod", "azblob://contosostate/mdetag", "prod"),
            ("azblob://contosostate/mdetag/", "azblob://contosostate/mdetag", ""),
            ("s3://contoso-state/a/b/", "s3://contoso-state", "a/b"),
        ] {
            let Ok(StatePlace::Store(address)) = StatePlace::parse(text) else { panic!("{text}") };
            assert_eq!((address.root().as_str(), address.prefix()), (root, prefix));
            assert_eq!(address.to_string(), text.trim_end_matches('/'));
        }
        assert_eq!(StatePlace::parse(".mdetag"), Ok(StatePlace::Folder(".mdetag".into())));
    }

    #[test]
    fn what_is_no_address_says_what_is() {
        for text in [
            "azblob://contosostate",
            "azblob://Contoso/mdetag",
            "s3://",
            "s3://b/c",
            "s3://bucket/../other",
            "s3://bucket//x",
            "https://contosostate.example/mdetag",
        ] {
            assert!(StatePlace::parse(text).is_err(), "{text}");
        }
    }
}
