//! The digest of a snapshot: the same devices give the same digest, however they were split into pages.
//!
//! Other tools need not reproduce it; it only has to change when a device does.

use rayon::prelude::*;
use ring::digest::{Context, SHA256, digest};

use super::columns::{Columns, Lists, NO_TIME, Symbols};
use super::{Row, TagId};
use crate::hex;

/// Device digests gathered in order before they are hashed: one at a time, each would wait for its own memory access.
const AT_ONCE: usize = 1 << 10;

/// The most values of a column that have a [`ShortForm`].
const MOST_FORMS: usize = 1 << 10;

/// `sha256:…` over each device's SHA-256, in the order of their ids.
pub(crate) fn digest_of(columns: &Columns, tags: &Lists<TagId>, order: &[Row]) -> String {
    let forms: Vec<Vec<ShortForm>> = columns.symbols.iter().map(forms).collect();
    let rows: Vec<[u8; 32]> = (0..columns.len())
        .into_par_iter()
        .with_min_len(1024)
        .map_init(
            || Vec::with_capacity(1024),
            |buffer, row| {
                buffer.clear();
                canonical(columns, &forms, tags, row, buffer);
                let mut bytes = [0; 32];
                bytes.copy_from_slice(digest(&SHA256, buffer).as_ref());
                bytes
            },
        )
        .collect();
    let mut context = Context::new(&SHA256);
    for chunk in order.chunks(AT_ONCE) {
        let digests: Vec<[u8; 32]> = chunk.iter().map(|row| rows[row.index()]).collect();
        context.update(digests.as_flattened());
    }
    format!("sha256:{}", hex::digits(context.finish().as_ref()))
}

/// A short value ready to be appended, made once per value: a copy of fixed size takes a fraction of the time of one of any size.
#[derive(Clone, Copy)]
struct ShortForm {
    bytes: [u8; 32],
    /// The number of bytes that count; 0 for a value that is too long.
    length: usize,
}

/// The short forms of a column's first values by code, which most rows have.
fn forms(column: &Symbols) -> Vec<ShortForm> {
    let codes = 0..column.dictionary.bound().min(MOST_FORMS) as u32;
    let form = |code: u32| {
        let mut whole = Vec::new();
        append(column.dictionary.get(code).unwrap_or_default().as_bytes(), &mut whole);
        let mut form = ShortForm { bytes: [0; 32], length: 0 };
        if let Some(bytes) = form.bytes.get_mut(..whole.len()) {
            bytes.copy_from_slice(&whole);
            form.length = whole.len();
        }
        form
    };
    codes.map(form).collect()
}

/// Every column of a row, each preceded by its length, so that no two rows have the same form.
fn canonical(
    columns: &Columns,
    forms: &[Vec<ShortForm>],
    tags: &Lists<TagId>,
    row: usize,
    out: &mut Vec<u8>,
) {
    for column in &columns.texts {
        append(column.get(row).as_bytes(), out);
    }
    for (column, forms) in columns.symbols.iter().zip(forms) {
        match forms.get(column.code(row) as usize) {
            Some(form) if form.length > 0 => {
                let end = out.len() + form.length;
                out.extend_from_slice(&form.bytes);
                out.truncate(end);
            }
            _ => append(column.get(row).unwrap_or_default().as_bytes(), out),
        }
    }
    for column in &columns.times {
        if column[row] == NO_TIME {
            append(&[], out);
        } else {
            append(&column[row].to_le_bytes(), out);
        }
    }
    for column in &columns.bytes {
        append(column.get(row), out);
    }
    for tag in tags.get(row) {
        append(columns.tag_names.get(tag.0 + 1).unwrap_or_default().as_bytes(), out);
    }
}

/// Lengths below 255 take one byte, because most texts of a row are short.
fn append(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.len() < 255 {
        out.push(bytes.len() as u8);
    } else {
        out.push(255);
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::inventory::builder::SnapshotBuilder;

    #[test]
    fn short_and_long_values_are_appended_in_the_same_form() {
        let mut builder = SnapshotBuilder::new();
        for length in (0..40).chain(250..260) {
            let device =
                json!({"id": format!("d{length}"), "osPlatform": "x".repeat(length), "machineTags": ["a"]});
            builder.read_device(device.to_string().as_bytes()).unwrap();
        }
        let columns = builder.finish().0.columns;
        let with: Vec<Vec<ShortForm>> = columns.symbols.iter().map(forms).collect();
        let without = vec![Vec::new(); columns.symbols.len()];
        let tags = Lists::from_parts(Vec::new(), vec![0; columns.len()]);
        for row in 0..columns.len() {
            let form = |forms: &[Vec<ShortForm>]| {
                let mut out = Vec::new();
                canonical(&columns, forms, &tags, row, &mut out);
                out
            };
            assert_eq!(form(&with), form(&without), "{:?}", columns.symbols[0].get(row));
        }
    }
}
