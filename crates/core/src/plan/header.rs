//! The header of a plan: tenant, policy, inventory, options.
//!
//! Contains no change and compares nothing; `apply` compares a reviewed header with a fresh one.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hex;
use crate::tag::TagCase;
use crate::time::Timestamp;

/// The tenant, time and sources of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// `mdetag 0.1.0`.
    pub tool: String,
    /// The wall clock; outside the digest.
    pub created_at: Timestamp,
    /// The clock for `within`, `until` and the like.
    pub now: Timestamp,
    pub tenant: TenantReference,
    pub policy: PolicyReference,
    pub inventory: InventoryReference,
    /// Options that change what is planned or how it is written; a difference at `apply` refuses.
    pub options: Options,
    /// The run whose confirmed changes this plan undoes. Such a plan is applied as reviewed, as far as it still fits: the
    /// policies guard it, but need not want it.
    pub reverts: Option<String>,
    /// For a plan that undoes a run: the number of its changes that the current policies want the other way.
    pub opposed: Option<u64>,
}

impl Default for Header {
    fn default() -> Header {
        Header {
            tool: format!("mdetag {}", env!("CARGO_PKG_VERSION")),
            created_at: Timestamp::EPOCH,
            now: Timestamp::EPOCH,
            tenant: TenantReference::default(),
            policy: PolicyReference::default(),
            inventory: InventoryReference::default(),
            options: Options::default(),
            reverts: None,
            opposed: None,
        }
    }
}

/// A tenant as plans, snapshots and journals name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TenantReference {
    /// Directory id; absent where an inventory file names none.
    pub id: Option<String>,
    /// Profile name.
    pub name: Option<String>,
    /// `public`, `gcc`, `gcc-high`, `dod`, `sandbox`; absent with the id.
    pub cloud: Option<String>,
}

/// The policy set that a plan was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyReference {
    /// `sha256:…` over the files' paths and what they say, without `guard.approvals` and `guard.accept`: those may come after the review.
    pub digest: String,
    /// Every file read, data files included; paths relative to the repository root (without one: the working directory).
    #[serde(default)]
    pub files: Vec<FileReference>,
    /// Git commit, if every file is tracked and as in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether a file is edited, untracked or outside of the repository: then no commit is named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dirty: bool,
    /// The files and directories that were given, relative to the same folder as `files`: `apply` reads them again.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The input of the digest, in no plan file: shows whether a set and a part of it say the same.
    #[serde(skip)]
    pub reviewed: Vec<FileReference>,
}

/// One file and its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileReference {
    /// Relative path with `/`.
    pub path: String,
    /// `sha256:…` of its bytes; for information.
    pub digest: String,
}

/// The inventory that a plan was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InventoryReference {
    /// `sha256:…`.
    pub digest: String,
    /// Devices read.
    pub devices: u64,
    /// Of them, in scope.
    pub in_scope: u64,
    /// When a recorded inventory was read, as far as it says; absent where the tenant was read for this plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub read_at: Option<Timestamp>,
    /// Why the read is untrusted; empty: it is trusted.
    #[serde(flatten, with = "verdict")]
    #[schemars(flatten, with = "verdict::TrustVerdict")]
    pub reasons: Vec<String>,
}

/// In files, the verdict is written beside the reasons that it follows from.
mod verdict {
    use super::{Deserialize, Deserializer, JsonSchema, Serialize, Serializer};

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct TrustVerdict {
        /// Whether the read can be believed.
        trusted: bool,
        /// Why not.
        #[serde(default)]
        reasons: Vec<String>,
    }

    pub(super) fn serialize<S: Serializer>(reasons: &[String], serializer: S) -> Result<S::Ok, S::Error> {
        TrustVerdict { trusted: reasons.is_empty(), reasons: reasons.to_vec() }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
        let TrustVerdict { trusted, reasons } = TrustVerdict::deserialize(deserializer)?;
        if trusted != reasons.is_empty() {
            return Err(serde::de::Error::custom("`inventory.trusted` and `inventory.reasons` disagree"));
        }
        Ok(reasons)
    }
}

/// Which route device values take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum ValueRoute {
    /// `setDeviceValue` only.
    #[default]
    SetDeviceValue,
    /// Spread over `setDeviceValue` and `PATCH`: two limits, half the time.
    Both,
}

/// Which route tags take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TagRoute {
    /// Bulk calls.
    #[default]
    Bulk,
    /// One call a device where these are no more than the bulk calls and the list calls that would prove those.
    SingleIfFewer,
}

impl TagRoute {
    fn is_bulk(&self) -> bool {
        *self == TagRoute::Bulk
    }
}

/// Options that change what is planned or how it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(from = "OptionsDocument", into = "OptionsDocument")]
#[schemars(with = "OptionsDocument")]
pub struct Options {
    /// How tags of other case count.
    pub tag_case: TagCase,
    /// Which route device values take.
    pub values: ValueRoute,
    /// Which route tags take, as the measured service suggests.
    pub tags: TagRoute,
    /// Whether one `PATCH` may carry a device's value and tags.
    pub combine: bool,
    /// Whether hunting says where tags come from; none in plans of older versions.
    pub origins: Option<bool>,
    /// For how many seconds the list may lag behind a write; none in plans of older versions.
    pub visibility: Option<u64>,
    /// What of the measured service counted: it decides some of the above. Another one at `apply` is planned anew.
    pub profile: Option<ProfileDigest>,
}

impl Options {
    /// Whether a plan made with these options may be applied with others. The measured service may differ; what follows from it
    /// may not. Values that one of the two lacks are not compared.
    pub fn agrees(self, other: Options) -> bool {
        let of = |one: Options, other: Options| Options {
            origins: one.origins.filter(|_| other.origins.is_some()),
            visibility: one.visibility.filter(|_| other.visibility.is_some()),
            // It decides the number of calls for the same writes.
            tags: TagRoute::Bulk,
            profile: None,
            ..one
        };
        of(self, other) == of(other, self)
    }
}

/// Options as plans have them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct OptionsDocument {
    /// How tags of other case count.
    tag_case: TagCase,
    /// How changes are written, as `writes` of mdetag.yaml says.
    writes: Option<WritesDocument>,
    /// In plans of older versions, in place of `writes`.
    #[serde(skip_serializing)]
    values: ValueRoute,
    /// In plans of older versions, in place of `writes`.
    #[serde(skip_serializing)]
    combine: bool,
    /// A digest of what of the measured service counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<ProfileDigest>,
}

/// How changes are written.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
struct WritesDocument {
    /// Which route device values take.
    values: ValueRoute,
    /// Which route tags take.
    #[serde(skip_serializing_if = "TagRoute::is_bulk")]
    tags: TagRoute,
    /// Whether one `PATCH` may carry a device's value and tags.
    combine: bool,
    /// Whether hunting says where tags come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    origins: Option<bool>,
    /// For how many seconds the list may lag behind a write.
    #[serde(skip_serializing_if = "Option::is_none")]
    visibility: Option<u64>,
}

impl From<OptionsDocument> for Options {
    fn from(document: OptionsDocument) -> Options {
        let OptionsDocument { tag_case, writes, values, combine, profile } = document;
        let old = WritesDocument { values, combine, ..WritesDocument::default() };
        let WritesDocument { values, tags, combine, origins, visibility } = writes.unwrap_or(old);
        Options { tag_case, values, tags, combine, origins, visibility, profile }
    }
}

impl From<Options> for OptionsDocument {
    fn from(options: Options) -> OptionsDocument {
        let Options { tag_case, values, tags, combine, origins, visibility, profile } = options;
        let writes = Some(WritesDocument { values, tags, combine, origins, visibility });
        OptionsDocument { tag_case, writes, values, combine, profile }
    }
}

/// A SHA-256 over the findings about the service that count; `sha256:…` as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProfileDigest([u8; 32]);

impl ProfileDigest {
    pub fn of(text: &str) -> ProfileDigest {
        let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        ProfileDigest(bytes)
    }
}

impl From<ProfileDigest> for String {
    fn from(digest: ProfileDigest) -> String {
        format!("sha256:{}", hex::digits(&digest.0))
    }
}

impl TryFrom<String> for ProfileDigest {
    type Error = String;

    fn try_from(text: String) -> Result<ProfileDigest, String> {
        let refused = || "a digest is `sha256:` and 64 hexadecimal digits".to_owned();
        let bytes = text.strip_prefix("sha256:").and_then(hex::bytes).ok_or_else(refused)?;
        bytes.try_into().map(ProfileDigest).map_err(|_| refused())
    }
}

impl JsonSchema for ProfileDigest {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProfileDigest".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_compared_as_far_as_both_say_them_and_old_plans_are_read() {
        let new = Options { origins: Some(true), visibility: Some(3600), ..Options::default() };
        let text = serde_json::to_value(new).unwrap();
        assert_eq!(text["writes"]["origins"], true, "{text}");
        assert_eq!((text.get("values"), text.get("combine")), (None, None), "{text}");
        assert_eq!(serde_json::from_value::<Options>(text).unwrap(), new);
        assert!(!new.agrees(Options { origins: Some(false), ..new }));
        assert!(!new.agrees(Options { visibility: Some(60), ..new }));
        assert!(new.agrees(Options { tags: TagRoute::SingleIfFewer, ..new }), "the same writes");
        let old: Options =
            serde_json::from_str(r#"{"tagCase":"exact","values":"both","combine":true}"#).unwrap();
        assert_eq!((old.values, old.combine, old.origins), (ValueRoute::Both, true, None));
        assert!(old.agrees(Options { values: ValueRoute::Both, combine: true, ..new }));
        assert!(!old.agrees(new));
    }
}
