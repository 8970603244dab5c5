//! Reads snapshot files and other files of an inventory: a recorded list page, an array, one device, plain NDJSON.
//!
//! Says how far the file can be trusted; decides nothing that follows from it.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use super::compression::DecompressedReader;
use super::path_text::shown;
use super::snapshot_header::SnapshotHeader;
use mdetag_core::inventory::{
    BlockReader, ReadFault, Snapshot, SnapshotBuilder, Trust, UntrustedReason, foreign_encoding, seems_to_be,
};
use mdetag_core::plan::TenantReference;
use mdetag_core::time::Timestamp;

/// Bytes that one core parses at a time. Larger blocks are no faster, and leave larger holes in the memory of a large read.
const BLOCK: usize = 1 << 19;

/// Bytes from which a file that is not an inventory is recognised.
const SNIFFED: usize = 1 << 16;

/// The content of a file of devices.
#[derive(Debug)]
pub struct SnapshotFile {
    pub snapshot: Snapshot,
    /// How far the file can be trusted, without the guard's part.
    pub trust: Trust,
    /// The tenant in the header; empty without a header.
    pub tenant: TenantReference,
    /// When the inventory was read, if the header says.
    pub read_at: Option<Timestamp>,
}

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotFileError {
    /// An error of the file system or the decompressor.
    #[error("cannot {verb} {}", shown(path))]
    File {
        /// `read` or `write`.
        verb: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The state, whose error says where.
    #[error("cannot keep the snapshot in the state")]
    Kept { source: io::Error },
    /// The content is not an inventory.
    #[error("{} is no inventory: {fault}", shown(path))]
    Content { path: PathBuf, fault: String },
}

/// Reads a file of devices: a snapshot file, a list page, an array, one device or plain NDJSON, compressed or not. All cores
/// parse NDJSON; memory contains the devices' columns and a few blocks of the file.
///
/// # Errors
/// A file that cannot be read, or that contains no devices in any of these forms. A truncated file is read as far as it goes, and
/// is untrusted.
pub fn read(path: &Path) -> Result<SnapshotFile, SnapshotFileError> {
    let file_error = |source| SnapshotFileError::File { verb: "read", path: path.to_owned(), source };
    read_source(path, DecompressedReader::open(path).map_err(file_error)?)
}

/// Like [`read`], for bytes that were already read. `path`: for messages.
///
/// # Errors
/// As [`read`].
pub(super) fn read_bytes(path: &Path, bytes: Vec<u8>) -> Result<SnapshotFile, SnapshotFileError> {
    let source = DecompressedReader::new(Box::new(Cursor::new(bytes)));
    let file_error = |source| SnapshotFileError::File { verb: "read", path: path.to_owned(), source };
    read_source(path, source.map_err(file_error)?)
}

fn read_source(path: &Path, mut source: DecompressedReader) -> Result<SnapshotFile, SnapshotFileError> {
    let file_error = |source| SnapshotFileError::File { verb: "read", path: path.to_owned(), source };
    let content = |fault: String| SnapshotFileError::Content { path: path.to_owned(), fault };
    let mut head = Vec::new();
    read_block(&mut source, &mut head).map_err(file_error)?;
    if head.starts_with(b"\xef\xbb\xbf") {
        head.drain(..3);
    }
    if let Some(encoding) = foreign_encoding(&head) {
        return Err(content(format!(
            "it is {encoding}, and JSON is UTF-8; save it as UTF-8 (PowerShell: Out-File -Encoding utf8)"
        )));
    }
    let first = head.iter().copied().find(|byte| !byte.is_ascii_whitespace());
    let mut builder = SnapshotBuilder::new();
    let mut header = None;
    let mut is_cut = false;
    let line = first_line(&head);
    let start = head[..head.len().min(SNIFFED)].to_vec();
    if first == Some(b'{') {
        header = SnapshotHeader::parse(&head[..line]).transpose().map_err(content)?;
    }
    match first {
        Some(b'{') if header.is_some() || is_json(&head[..line]) => {
            let lines = if header.is_some() { head.split_off(head.len().min(line + 1)) } else { head };
            let reading = Lines { source: &mut source, carry: lines, is_at_end: false, spare: Vec::new() };
            (builder, is_cut) = reading.read(u64::from(header.is_some())).map_err(|fault| match fault {
                LinesFault::File(source) => file_error(source),
                LinesFault::Content(fault) => content(fault),
            })?;
        }
        Some(b'{' | b'[') => {
            // The parser reads one byte at a time.
            let stream = BufReader::with_capacity(BLOCK, head.chain(&mut source));
            builder.read_stream(stream).map_err(|fault| content(fault.to_string()))?;
        }
        Some(_) => return Err(content("it starts with neither `{` nor `[`".to_owned())),
        None if source.is_torn => {
            return Err(content("it is compressed, and damaged or cut before its first byte".to_owned()));
        }
        None => return Err(content("it is empty".to_owned())),
    }
    if header.is_none()
        && builder.rows() == 0
        && builder.tally().unreadable == 0
        && builder.tally().without_id > 0
    {
        return Err(content(format!("it seems to be {}", seems_to_be(&start))));
    }
    Ok(finish(builder, header, is_cut || source.is_torn))
}

/// The end of the first line that is not blank.
fn first_line(bytes: &[u8]) -> usize {
    let start = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    bytes[start..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| start + length)
}

fn is_json(line: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok()
}

fn finish(builder: SnapshotBuilder, header: Option<SnapshotHeader>, is_cut: bool) -> SnapshotFile {
    let skipped = builder.tally().skipped();
    let (snapshot, counted) = builder.finish();
    // Counts devices, not lines: a repeated line must not make up for a missing one.
    let found = snapshot.len() as u64 + skipped;
    let mut reasons = match header.as_ref().map(|header| header.devices) {
        None => vec![UntrustedReason::NoHeader],
        Some(None) => vec![UntrustedReason::NoCount],
        Some(Some(expected)) if found < expected => vec![UntrustedReason::ShortFile { expected, found }],
        Some(Some(_)) => Vec::new(),
    };
    if is_cut && !matches!(reasons.first(), Some(UntrustedReason::ShortFile { .. })) {
        reasons.push(UntrustedReason::CutFile);
    }
    reasons.extend(counted);
    if snapshot.is_empty() {
        reasons.push(UntrustedReason::EmptyAnswer);
    }
    reasons.extend(header.iter().flat_map(SnapshotHeader::reasons));
    let (tenant, read_at) = header.map(|header| (header.tenant, header.read_at)).unwrap_or_default();
    let tenant = TenantReference { id: tenant.id, name: tenant.name, cloud: tenant.cloud };
    SnapshotFile { snapshot, trust: Trust { reasons }, tenant, read_at }
}

/// Fills the block up to its size, or an eighth more; `true` at the end of the source.
fn read_block(source: &mut impl Read, block: &mut Vec<u8>) -> io::Result<bool> {
    let mut filled = block.len();
    block.resize(BLOCK.max(filled + BLOCK / 8), 0);
    let mut is_at_end = false;
    while filled < block.len() && !is_at_end {
        match source.read(&mut block[filled..]) {
            Ok(0) => is_at_end = true,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    block.truncate(filled);
    Ok(is_at_end)
}

/// The longest line, in bytes, which bounds the memory for a file without line ends; no device is this long.
const LONGEST_LINE: usize = 256 << 20;

/// NDJSON in blocks of whole lines.
struct Lines<'s> {
    source: &'s mut DecompressedReader,
    /// The part of the next block that was already read.
    carry: Vec<u8>,
    is_at_end: bool,
    /// Parsed blocks, whose memory the next ones reuse.
    spare: Vec<Vec<u8>>,
}

enum LinesFault {
    File(io::Error),
    Content(String),
}

impl Lines<'_> {
    /// Reads all lines. `lines`: the number of lines before. `true` if the last line was cut.
    fn read(mut self, lines: u64) -> Result<(SnapshotBuilder, bool), LinesFault> {
        let content = |fault: ReadFault| LinesFault::Content(fault.to_string());
        let mut reader = BlockReader::new(lines);
        let mut batch = self.next()?;
        let mut is_cut = false;
        while !batch.is_empty() {
            if self.is_at_end {
                is_cut = cut_torn_line(&mut batch);
            }
            // While these blocks are parsed, the next are read (and decompressed).
            let next = reader.read(&batch, || self.next()).map_err(content)??;
            // The memory of a line of hundreds of megabytes is not reused for blocks of half a megabyte.
            self.spare.extend(batch.drain(..).filter(|block| block.capacity() <= 4 * BLOCK));
            batch = next;
        }
        Ok((reader.finish().map_err(content)?, is_cut))
    }

    /// The next blocks of whole lines; empty at the end.
    fn next(&mut self) -> Result<Vec<Vec<u8>>, LinesFault> {
        let mut blocks = Vec::new();
        let mut bytes = 0;
        // Several per core: all of them are parsed before the next are started, and no core should wait long for the last one.
        // Counted in bytes, because a block may contain one line of hundreds of megabytes.
        while !self.is_at_end && bytes < 4 * BLOCK * rayon::current_num_threads() {
            let mut block = self.spare.pop().unwrap_or_default();
            block.clear();
            block.append(&mut self.carry);
            // The part that was already searched for a line end is not searched again: a file without any must not take quadratic
            // time.
            let mut searched = 0;
            loop {
                self.is_at_end = read_block(self.source, &mut block).map_err(LinesFault::File)?;
                let newline = block[searched..].iter().rposition(|byte| *byte == b'\n');
                if self.is_at_end {
                    break;
                }
                if let Some(newline) = newline {
                    let end = searched + newline + 1;
                    self.carry.extend_from_slice(&block[end..]);
                    block.truncate(end);
                    break;
                }
                searched = block.len();
                if block.len() > LONGEST_LINE {
                    return Err(LinesFault::Content("a line is longer than 256 MB".to_owned()));
                }
            }
            bytes += block.len();
            blocks.push(block);
        }
        Ok(blocks)
    }
}

/// Removes the last line if it was cut: it has no line end and is not JSON.
fn cut_torn_line(blocks: &mut [Vec<u8>]) -> bool {
    let Some(block) = blocks.last_mut() else { return false };
    let start = block.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let last = block[start..].trim_ascii();
    let is_torn = !last.is_empty() && !is_json(last);
    if is_torn {
        block.truncate(start);
    }
    is_torn
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::super::snapshot_header::SnapshotStamp;
    use super::super::snapshot_writer::SnapshotPages;
    use super::*;
    use mdetag_core::inventory::Row;

    fn read_bytes(bytes: &[u8]) -> Result<SnapshotFile, SnapshotFileError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, bytes).unwrap();
        read(&path)
    }

    fn stamp(reasons: &[&str]) -> SnapshotStamp {
        SnapshotStamp {
            tenant: TenantReference {
                id: Some("t-1".into()),
                name: Some("contoso".into()),
                cloud: Some("public".into()),
            },
            read_at: Some(Timestamp::parse("2026-11-22T03:00:00Z").unwrap()),
            devices: 0,
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
        }
    }

    fn pages() -> SnapshotPages {
        let mut pages = SnapshotPages::new().unwrap();
        let device = |id: &str, day: &str| json!({"id": id, "lastSeen": format!("2026-01-{day}T00:00:00Z"), "new": [1.50]});
        let page =
            serde_json::to_string_pretty(&json!({"value": [device("b", "01"), device("a", "01"), {}, 3]}));
        pages.add(page.unwrap().as_bytes()).unwrap();
        pages.add(json!({"value": [device("b", "02"), device("a", "01")]}).to_string().as_bytes()).unwrap();
        pages
    }

    #[test]
    fn a_snapshot_file_reads_back_trusted_with_its_tenant_in_every_compression() {
        let folder = tempfile::tempdir().unwrap();
        let mut digests = Vec::new();
        for name in ["s.ndjson", "s.ndjson.gz", "s.ndjson.zst"] {
            let path = folder.path().join(name);
            pages().write(&path, &stamp(&[])).unwrap();
            let file = read(&path).unwrap();
            assert_eq!(file.trust, Trust::default(), "{name}");
            assert_eq!((file.tenant, file.read_at), (stamp(&[]).tenant, stamp(&[]).read_at));
            assert_eq!(file.snapshot.len(), 2);
            assert_eq!(file.snapshot.id(Row(0)), "a", "of two copies the one seen last is kept");
            digests.push(file.snapshot.digest());
        }
        digests.dedup();
        assert_eq!(digests.len(), 1);
        let text = fs::read_to_string(folder.path().join("s.ndjson")).unwrap();
        let header = concat!(
            r#"{"formatVersion":"1.0","kind":"snapshot","tenant":{"id":"t-1","name":"contoso","cloud":"public"},"#,
            r#""readAt":"2026-11-22T03:00:00Z","devices":2,"trusted":true,"reasons":[]}"#
        );
        assert_eq!(text.lines().next(), Some(header));
        assert!(text.contains("1.5"), "properties that are not understood are kept");
    }

    #[test]
    fn a_file_that_was_cut_is_read_and_untrusted() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["s.ndjson", "s.gz", "s.zst"] {
            let path = folder.path().join(name);
            pages().write(&path, &stamp(&[])).unwrap();
            let bytes = fs::read(&path).unwrap();
            for length in [bytes.len() - 10, bytes.len() - 40] {
                match read_bytes(&bytes[..length]) {
                    Ok(file) => assert!(!file.trust.is_trusted(), "{name} {length}"),
                    // Cut so early that even the header is incomplete.
                    Err(SnapshotFileError::Content { .. }) => assert_ne!(name, "s.ndjson"),
                    Err(other) => panic!("{name}: {other}"),
                }
            }
        }
    }

    #[test]
    fn a_snapshot_of_an_untrusted_read_stays_untrusted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.ndjson");
        pages().write(&path, &stamp(&["the token acts for a user"])).unwrap();
        assert_eq!(
            read(&path).unwrap().trust.reasons,
            [UntrustedReason::Recorded("the token acts for a user".to_owned())]
        );
    }

    #[test]
    fn pages_arrays_devices_and_lines_without_a_header_are_read_untrusted() {
        let devices = json!([{"id": "a", "computerDnsName": "x"}, {"id": "b"}, {"id": "a"}]);
        let page = json!({"@odata.context": "c", "value": devices});
        let lines = "\n{\"id\":\"a\"}\n\n{\"id\":\"b\"}";
        for text in [
            devices.to_string(),
            serde_json::to_string_pretty(&devices).unwrap(),
            page.to_string(),
            serde_json::to_string_pretty(&page).unwrap(),
            format!("{page}\n{page}\n"),
            lines.to_owned(),
            format!("\u{feff}{lines}\r\n"),
        ] {
            let file = read_bytes(text.as_bytes()).unwrap();
            assert_eq!(
                (file.snapshot.len(), file.trust.reasons),
                (2, vec![UntrustedReason::NoHeader]),
                "{text}"
            );
            assert_eq!(file.tenant, TenantReference::default());
        }
        let one = serde_json::to_string_pretty(&devices[0]).unwrap();
        assert_eq!(read_bytes(one.as_bytes()).unwrap().snapshot.len(), 1);
    }

    #[test]
    fn fewer_devices_than_announced_or_no_count_are_untrusted_and_repeats_are_not() {
        let header = |devices: u64| {
            format!(
                "{{\"formatVersion\":\"1.7\",\"kind\":\"snapshot\",\"devices\":{devices},\"trusted\":true,\"x\":1}}\n"
            )
        };
        let text = |devices| format!("{}{{\"id\":\"a\"}}\n{{\"id\":\"a\"}}\n", header(devices));
        assert!(read_bytes(text(1).as_bytes()).unwrap().trust.is_trusted());
        for expected in [2, 3] {
            let short = read_bytes(text(expected).as_bytes()).unwrap().trust.reasons;
            assert_eq!(short, [UntrustedReason::ShortFile { expected, found: 1 }], "one device, twice");
        }
        let uncounted = text(1).replace("\"devices\":1,", "");
        assert_eq!(read_bytes(uncounted.as_bytes()).unwrap().trust.reasons, [UntrustedReason::NoCount]);
        assert_eq!(read_bytes(header(0).as_bytes()).unwrap().trust.reasons, [UntrustedReason::EmptyAnswer]);
        assert!(read_bytes(header(1).replace("1.7", "2.0").as_bytes()).is_err());
    }

    #[test]
    fn anything_else_is_refused_with_its_place() {
        for bytes in [&b""[..], b" \n", b"id,name", b"{\"id\":", b"[{\"id\":\"a\"}", b"\xff\xfe{\0"] {
            assert!(read_bytes(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
        let fault = read_bytes(b"{\"id\":\"a\"}\n{oops}\n{\"id\":\"b\"}\n").unwrap_err().to_string();
        assert!(fault.contains("line 2"), "{fault}");
        assert!(read(Path::new("/nowhere/at/all")).is_err());
    }

    #[test]
    fn other_json_is_refused_with_what_it_seems_to_be() {
        let cases = [
            (r#"{"error":{"code":"Forbidden","message":"no"}}"#, "an error document"),
            (r#"{"schema":[{"name":"DeviceId"}],"results":[{"DeviceId":"a"}]}"#, "a hunting result"),
            (r#"[{"value":[{"id":"a"}]},{"value":[{"id":"b"}]}]"#, "an array of list pages"),
            (r#"{"formatVersion":"1.0","tool":"mdetag","changes":[]}"#, "a plan file"),
            ("{\"a\":1}\n{\"b\":2}\n", "no device `id`"),
            (r#"{"value":[{"name":"x"}]}"#, "no device `id`"),
            ("{\n  \"error\": {}\n}", "an error document"),
        ];
        for (text, expected) in cases {
            let fault = read_bytes(text.as_bytes()).unwrap_err().to_string();
            assert!(fault.contains("is no inventory: it seems to be") && fault.contains(expected), "{fault}");
        }
        for empty in [r#"{"value":[]}"#, "[]"] {
            assert_eq!(read_bytes(empty.as_bytes()).unwrap().snapshot.len(), 0);
        }
        let wide: Vec<u8> = "{\"id\":\"a\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [wide.clone(), [&b"\xff\xfe"[..], &wide].concat()] {
            assert!(read_bytes(&bytes).unwrap_err().to_string().contains("it is UTF-16"));
        }
    }

    #[test]
    fn flattened_tags_make_a_file_untrusted_and_the_device_is_named() {
        let text = "{\"id\":\"a\",\"computerDnsName\":\"dc01\",\"machineTags\":\"x, y\"}\n{\"id\":\"b\"}\n";
        let file = read_bytes(text.as_bytes()).unwrap();
        assert_eq!(file.snapshot.len(), 1);
        assert!(file.trust.sentences().iter().any(|reason| reason.contains("dc01")), "{:?}", file.trust);
    }

    #[test]
    fn many_blocks_keep_their_order_and_their_line_numbers() {
        let mut text = String::new();
        for number in 0..60_000 {
            text.push_str(&format!("{{\"id\":\"d{number}\",\"computerDnsName\":\"{}\"}}\n", "x".repeat(100)));
        }
        let file = read_bytes(text.as_bytes()).unwrap();
        assert_eq!(file.snapshot.len(), 60_000);
        assert!(file.snapshot.rows().all(|row| file.snapshot.id(row) == format!("d{}", row.0)));
        text.push_str("]\n{\"id\":\"z\"}\n");
        let fault = read_bytes(text.as_bytes()).unwrap_err().to_string();
        assert!(fault.contains("line 60001"), "{fault}");
    }
}
