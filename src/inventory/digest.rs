//! The digest of a snapshot: the same devices give the same digest, whatever pages they came in.
//!
//! Not a format that other tools must reproduce; it only has to change when a device does.

use rayon::prelude::*;
use ring::digest::{Context, SHA256, digest};

use super::columns::{Columns, Lists, NO_TIME};
use super::{Row, TagId};

/// Digests that are put in order before they are digested themselves: one by one each would wait for its own memory.
const AT_ONCE: usize = 1 << 10;

/// `sha256:…` over each device's SHA-256, in the order of their ids.
pub(crate) fn digest_of(columns: &Columns, tags: &Lists<TagId>, order: &[Row]) -> String {
    let rows: Vec<[u8; 32]> = (0..columns.len())
        .into_par_iter()
        .with_min_len(1024)
        .map_init(
            || Vec::with_capacity(1024),
            |buffer, row| {
                buffer.clear();
                canonical(columns, tags, row, buffer);
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
    let mut text = String::from("sha256:");
    context.finish().as_ref().iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
    text
}

/// Every column of a row, each with its length before it, so that no two rows share a form.
fn canonical(columns: &Columns, tags: &Lists<TagId>, row: usize, out: &mut Vec<u8>) {
    for column in &columns.texts {
        append(column.get(row).as_bytes(), out);
    }
    for column in &columns.symbols {
        append(column.get(row).unwrap_or_default().as_bytes(), out);
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

/// Lengths below 255 take one byte; a row is mostly short texts.
fn append(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.len() < 255 {
        out.push(bytes.len() as u8);
    } else {
        out.push(255);
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    }
    out.extend_from_slice(bytes);
}
