//! The keys for data besides the devices: lookups, hunting queries, list files.
//!
//! Like [`super`], for the reader, the schema and the documents.

use crate::policy::shape::{MappingKey, Shape, key, required};

/// An entry of `lookups`.
pub(in crate::policy) static LOOKUP: &[MappingKey] = &[
    key(
        "file",
        Shape::Path,
        "A .csv (with a header row), .json (a list of objects) or .ndjson file, relative to this file.",
    ),
    key(
        "hunting",
        Shape::Mapping(LOOKUP_HUNTING),
        "In place of `file`: an advanced-hunting query; the columns of its result are the lookup's columns.",
    ),
    required("key", Shape::Text, "The column whose values name devices."),
    required(
        "match",
        Shape::Words(&[
            "id",
            "computerDnsName",
            "deviceName",
            "aadDeviceId",
            "vmMetadata.vmId",
            "vmMetadata.resourceId",
        ]),
        "The device field that equals the key.",
    ),
    key(
        "delimiter",
        Shape::Words(&[",", ";", "\t"]),
        "What parts the cells of a .csv file; without it the header row decides.",
    ),
    key(
        "onConflict",
        Shape::Words(&["error", "missing"]),
        "What two rows of one key that differ are: an error (the default), or unknown in the columns in which they differ.",
    ),
    key(
        "allowEmpty",
        Shape::Boolean,
        "Whether it may hold no rows; without it that is an error, and nothing is taken away.",
    ),
];

/// `hunting` of a lookup.
pub(in crate::policy) static LOOKUP_HUNTING: &[MappingKey] = &[
    key("query", Shape::Text, "The query, KQL."),
    key("queryFile", Shape::Path, "A file with the query, relative to this file."),
    key("allowEmpty", Shape::Boolean, "The same as `allowEmpty` of the lookup."),
];

/// `hunting` of a selector.
pub(in crate::policy) static HUNTING: &[MappingKey] = &[
    key("query", Shape::Text, "The query, KQL."),
    key("queryFile", Shape::Path, "A file with the query, relative to this file."),
    key("column", Shape::Text, "The column with device ids; default DeviceId."),
    key(
        "unlisted",
        Shape::Words(&["ok"]),
        "`ok`: its rows need not be devices here. Without it a result of which no row is a device is an error, or unknown where it has fewer than five.",
    ),
    key(
        "allowEmpty",
        Shape::Boolean,
        "Whether it may hold no rows; without it that is an error, and nothing is taken away.",
    ),
];

/// The long form of `inFile`.
pub(in crate::policy) static IN_FILE: &[MappingKey] = &[
    required("file", Shape::Path, "A .csv, .json or .ndjson file, relative to this file."),
    key("column", Shape::Text, "Its column; tables need it, files with one value a line have none."),
    key(
        "delimiter",
        Shape::Words(&[",", ";", "\t"]),
        "What parts the cells of a .csv file; without it the header row decides.",
    ),
    key(
        "allowEmpty",
        Shape::Boolean,
        "Whether it may hold no rows; without it that is an error, and nothing is taken away.",
    ),
    key("where", Shape::Named(&Shape::Text), "Only rows whose columns hold exactly these texts."),
    key(
        "unlisted",
        Shape::Words(&["ok"]),
        "`ok`: its values need not be devices here. Without it, what a list of ids or names of which none is a device selects is unknown.",
    ),
];
