//! A store's errors for people: what happened, where, and what to do next.
//!
//! Never quotes a whole answer of the store: some repeat the request with its credential.

use std::error::Error as _;
use std::io::{Error, ErrorKind};

use object_store::Error as StoreError;

use super::StoreAddress;

/// Stores refuse requests that are older or newer than this.
const MOST_SKEW_MILLIS: u64 = 5 * 60 * 1000;

/// An error of a store. `ahead_millis`: how far its clock was ahead of ours.
pub(super) fn fault(error: &StoreError, address: &StoreAddress, ahead_millis: i64) -> Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push(' ');
        text.push_str(&source.to_string());
        cause = source.source();
    }
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let root = address.root();
    if says(&["ContainerNotFound", "NoSuchBucket", "specified container does not exist", "specified bucket"])
    {
        let what = if root.starts_with("s3:") { "bucket" } else { "container" };
        return Error::other(format!(
            "there is no {what} {root}: create it, or correct the name of the state"
        ));
    }
    // Listings and bulk removals give their status only in words.
    let is_refused =
        matches!(error, StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. })
            || says(&[
                "status code: 401",
                "status code: 403",
                "AuthorizationPermissionMismatch",
                "AccessDenied",
            ]);
    let is_skewed = ahead_millis.unsigned_abs() > MOST_SKEW_MILLIS && is_refused;
    if is_skewed || says(&["RequestTimeTooSkewed"]) {
        let minutes = ahead_millis.abs() / 60_000;
        return Error::other(format!(
            "{root} refuses this computer's clock, which is {minutes} minutes off the store's: set it"
        ));
    }
    match error {
        StoreError::NotFound { .. } => Error::new(ErrorKind::NotFound, format!("nothing is there in {root}")),
        StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => {
            Error::new(ErrorKind::AlreadyExists, format!("somebody else wrote to {root} first"))
        }
        _ if is_refused => Error::new(
            ErrorKind::PermissionDenied,
            format!(
                "no rights on {root}: the identity needs to read, write, list and delete objects there (Storage Blob Data Contributor; s3:GetObject, PutObject, DeleteObject, ListBucket)"
            ),
        ),
        _ => Error::other(format!("{root} cannot be used: {}", first_line(&text))),
    }
}

fn first_line(text: &str) -> String {
    let line: String = text.lines().next().unwrap_or_default().chars().take(300).collect();
    ["S3", "MicrosoftAzure", "state"]
        .into_iter()
        .fold(line, |line, store| line.replace(&format!("Generic {store} error: "), ""))
}
