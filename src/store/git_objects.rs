//! Reads loose and packed objects of a git repository without running `git`, as far as needed to compare files with a commit.
//!
//! Trusts nothing that does not parse: an unreadable object counts as missing. Writes nothing.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use flate2::bufread::ZlibDecoder;

use mdetag_core::hex;

use super::git_folder;
use super::regular_file;

/// The largest commit or tree, in bytes.
const MOST: u64 = 64 << 20;

/// The longest chain of deltas: git itself makes 50, and at most 4,095.
const MOST_DELTAS: usize = 4_096;

/// The deepest folder. Trees cannot really contain themselves, but packs can claim so.
const MOST_FOLDERS: usize = 256;

/// Kinds of objects, as packs number them.
const COMMIT: u8 = 1;
const TREE: u8 = 2;

/// Whether the tree of a commit contains each of these files, from the repository's root, with this content.
pub(super) fn holds<'a>(
    root: &Path,
    commit: &str,
    mut files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> bool {
    let Some(objects) = GitObjects::open(root) else { return false };
    let Some(tree) = objects.tree_of(commit) else { return false };
    files.all(|(path, content)| {
        objects.find(&tree, path).is_some_and(|id| {
            // Git on Windows may have replaced the commit's `
            // ` with `\r
            // `.
            let is = |content: &[u8]| objects.blob_id(content) == id;
            is(content) || (content.contains(&b'\r') && is(&without_returns(content)))
        })
    })
}

/// The regular files of a commit below each of these folders, as folder and path below it; `None` if the commit cannot be read.
pub(super) fn files<'a>(root: &Path, commit: &str, folders: &'a [String]) -> Option<Vec<(&'a str, String)>> {
    let objects = GitObjects::open(root)?;
    let tree = objects.tree_of(commit)?;
    let mut found = Vec::new();
    for folder in folders {
        let Some(tree) = objects.folder(&tree, folder)? else { continue };
        objects.list(&tree, "", 0, &mut |path| found.push((folder.as_str(), path)))?;
    }
    Some(found)
}

fn without_returns(content: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(content.len());
    for (at, byte) in content.iter().enumerate() {
        if *byte != b'\r' || content.get(at + 1) != Some(&b'\n') {
            plain.push(*byte);
        }
    }
    plain
}

/// An entry of a tree.
struct TreeEntry<'t> {
    mode: &'t [u8],
    name: &'t [u8],
    id: &'t [u8],
}

impl TreeEntry<'_> {
    fn is_file(&self) -> bool {
        matches!(self.mode, b"100644" | b"100755")
    }

    fn is_folder(&self) -> bool {
        self.mode == b"40000"
    }
}

/// The objects of a repository.
struct GitObjects {
    folders: Vec<PathBuf>,
    /// Number of bytes in an id.
    hash: usize,
}

impl GitObjects {
    fn open(root: &Path) -> Option<GitObjects> {
        let own = git_folder::common_folder(&git_folder::git_folder(root)?).join("objects");
        let listed = git_folder::small_text(&own.join("info/alternates")).unwrap_or_default();
        let others = listed.lines().filter(|line| !line.is_empty()).map(|line| own.join(line));
        let folders = std::iter::once(own.clone()).chain(others).collect();
        Some(GitObjects { folders, hash: if git_folder::is_sha256(root) { 32 } else { 20 } })
    }

    fn blob_id(&self, content: &[u8]) -> Vec<u8> {
        let algorithm = match self.hash {
            32 => &ring::digest::SHA256,
            _ => &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
        };
        let mut context = ring::digest::Context::new(algorithm);
        context.update(format!("blob {}\0", content.len()).as_bytes());
        context.update(content);
        context.finish().as_ref().to_vec()
    }

    fn tree_of(&self, commit: &str) -> Option<Vec<u8>> {
        let text = self.read(&hex::bytes(commit)?, COMMIT)?;
        let text = String::from_utf8_lossy(&text);
        hex::bytes(text.lines().next()?.strip_prefix("tree ")?)
    }

    /// The id of the regular file at a path below a tree.
    fn find(&self, tree: &[u8], path: &str) -> Option<Vec<u8>> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let content = self.read(&self.folder(tree, folder)??, TREE)?;
        let entry = self.entries(&content)?.into_iter().find(|entry| entry.name == name.as_bytes())?;
        entry.is_file().then(|| entry.id.to_vec())
    }

    /// The id of the folder at a path below a tree; `Some(None)` if there is none.
    fn folder(&self, tree: &[u8], path: &str) -> Option<Option<Vec<u8>>> {
        let mut id = tree.to_vec();
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let content = self.read(&id, TREE)?;
            let entry = self.entries(&content)?.into_iter().find(|entry| entry.name == part.as_bytes());
            let Some(entry) = entry.filter(TreeEntry::is_folder) else { return Some(None) };
            id = entry.id.to_vec();
        }
        Some(Some(id))
    }

    /// The regular files below a tree.
    fn list(&self, tree: &[u8], above: &str, depth: usize, see: &mut dyn FnMut(String)) -> Option<()> {
        if depth > MOST_FOLDERS {
            return None;
        }
        let content = self.read(tree, TREE)?;
        for entry in self.entries(&content)? {
            let path = format!("{above}{}", String::from_utf8_lossy(entry.name));
            if entry.is_file() {
                see(path);
            } else if entry.is_folder() {
                self.list(entry.id, &format!("{path}/"), depth + 1, see)?;
            }
        }
        Some(())
    }

    fn entries<'t>(&self, mut content: &'t [u8]) -> Option<Vec<TreeEntry<'t>>> {
        let mut entries = Vec::new();
        while !content.is_empty() {
            let end = content.iter().position(|byte| *byte == 0)?;
            let space = content[..end].iter().position(|byte| *byte == b' ')?;
            let id = content.get(end + 1..end + 1 + self.hash)?;
            entries.push(TreeEntry { mode: &content[..space], name: &content[space + 1..end], id });
            content = &content[end + 1 + self.hash..];
        }
        Some(entries)
    }

    fn read(&self, id: &[u8], kind: u8) -> Option<Vec<u8>> {
        let (found, content) = self.object(id, 0)?;
        (found == kind).then_some(content)
    }

    fn object(&self, id: &[u8], depth: usize) -> Option<(u8, Vec<u8>)> {
        self.folders.iter().find_map(|folder| loose(folder, id)).or_else(|| {
            let packs = self.folders.iter().flat_map(|folder| packs(folder));
            packs.into_iter().find_map(|index| {
                let at = place(&index, id, self.hash)?;
                self.packed(&index.with_extension("pack"), at, depth)
            })
        })
    }

    /// The object at an offset of a pack.
    fn packed(&self, pack: &Path, at: u64, depth: usize) -> Option<(u8, Vec<u8>)> {
        if depth > MOST_DELTAS {
            return None;
        }
        let mut file = BufReader::new(open(pack)?);
        file.seek(SeekFrom::Start(at)).ok()?;
        let first = byte(&mut file)?;
        let mut more = first & 0x80 != 0;
        while more {
            more = byte(&mut file)? & 0x80 != 0;
        }
        let (kind, base) = match first >> 4 & 7 {
            kind @ 1..=4 => return Some((kind, inflated(file)?)),
            6 => {
                let mut next = byte(&mut file)?;
                let mut back = u64::from(next & 0x7f);
                while next & 0x80 != 0 {
                    next = byte(&mut file)?;
                    back = back.checked_add(1)?.checked_mul(128)? | u64::from(next & 0x7f);
                }
                self.packed(pack, at.checked_sub(back).filter(|_| back > 0)?, depth + 1)?
            }
            7 => {
                let mut id = vec![0; self.hash];
                file.read_exact(&mut id).ok()?;
                self.object(&id, depth + 1)?
            }
            _ => return None,
        };
        Some((kind, patched(&base, &inflated(file)?)?))
    }
}

fn open(path: &Path) -> Option<File> {
    regular_file::open_to_read(path).ok()
}

fn byte(file: &mut impl Read) -> Option<u8> {
    let mut one = [0];
    file.read_exact(&mut one).ok()?;
    Some(one[0])
}

fn inflated(file: BufReader<File>) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    ZlibDecoder::new(file).take(MOST).read_to_end(&mut content).ok()?;
    Some(content)
}

fn loose(folder: &Path, id: &[u8]) -> Option<(u8, Vec<u8>)> {
    let hex = hex::digits(id);
    let content = inflated(BufReader::new(open(&folder.join(hex.get(..2)?).join(hex.get(2..)?))?))?;
    let end = content.iter().position(|byte| *byte == 0)?;
    let kind = match content[..end].split(|byte| *byte == b' ').next()? {
        b"commit" => COMMIT,
        b"tree" => TREE,
        _ => return None,
    };
    Some((kind, content[end + 1..].to_vec()))
}

fn packs(folder: &Path) -> Vec<PathBuf> {
    let listing = std::fs::read_dir(folder.join("pack")).into_iter().flatten().flatten();
    listing.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|it| it == "idx")).collect()
}

/// The offset of an object in a pack, from the pack's index of version 2.
fn place(index: &Path, id: &[u8], hash: usize) -> Option<u64> {
    let mut file = open(index)?;
    let mut read = |at: u64, length: usize| {
        let mut bytes = vec![0; length];
        file.seek(SeekFrom::Start(at)).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Some(bytes)
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let head = read(0, 8 + 256 * 4)?;
    if !head.starts_with(b"\xfftOc\0\0\0\x02") {
        return None;
    }
    let fan = |at: usize| number(&head[8 + at * 4..12 + at * 4]);
    let first = usize::from(*id.first()?);
    let (mut low, mut high, all) = (if first == 0 { 0 } else { fan(first - 1) }, fan(first), fan(255));
    let ids = 8 + 256 * 4;
    while low < high {
        let middle = low + (high - low) / 2;
        let found = read(ids + middle * hash as u64, hash)?;
        match found.as_slice().cmp(id) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => {
                // Checksums of four bytes are between the ids and the offsets.
                let offsets = ids + all * (hash as u64 + 4);
                let offset = number(&read(offsets + middle * 4, 4)?);
                let far = offset & 0x7fff_ffff;
                return match offset == far {
                    true => Some(offset),
                    false => Some(number(&read(offsets + all * 4 + far * 8, 8)?)),
                };
            }
        }
    }
    None
}

/// A base after the changes of a delta.
fn patched(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let mut rest = delta;
    let mut size = || -> Option<usize> {
        let (mut value, mut shift) = (0usize, 0);
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            value |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
    };
    let (source, target) = (size()?, size()?);
    if source != base.len() || target as u64 > MOST {
        return None;
    }
    let mut content = Vec::with_capacity(target);
    while let Some((command, after)) = rest.split_first() {
        rest = after;
        if command & 0x80 == 0 {
            let (new, after) =
                rest.split_at_checked(usize::from(*command)).filter(|(new, _)| !new.is_empty())?;
            content.extend_from_slice(new);
            rest = after;
            continue;
        }
        let mut part = |bits: std::ops::Range<u8>| -> Option<usize> {
            let start = bits.start;
            bits.into_iter().filter(|bit| command >> bit & 1 == 1).try_fold(0, |value, bit| {
                let (byte, after) = rest.split_first()?;
                rest = after;
                Some(value | usize::from(*byte) << (8 * (bit - start)))
            })
        };
        let (start, length) = (part(0..4)?, part(4..7)?);
        let length = if length == 0 { 0x1_0000 } else { length };
        content.extend_from_slice(base.get(start..start.checked_add(length)?)?);
    }
    (content.len() == target).then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn git(folder: &Path, words: &[&str]) -> bool {
        let identity = ["-c", "user.name=n", "-c", "user.email=a@b"];
        let run = Command::new("git").args(identity).args(words).current_dir(folder).output();
        run.is_ok_and(|output| output.status.success())
    }

    #[test]
    fn files_are_compared_with_the_commit_loose_and_packed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        if !git(root, &["init", "-q"]) {
            return;
        }
        std::fs::create_dir_all(root.join("p/deep")).unwrap();
        // Many files make large trees, whose later versions are packed as deltas.
        for round in 0..4 {
            for file in 0..120 {
                std::fs::write(
                    root.join(format!("p/deep/{file}.yaml")),
                    format!("{file} {}\n", round * (file % 7)),
                )
                .unwrap();
            }
            assert!(git(root, &["add", "-A"]) && git(root, &["commit", "-qm", "x"]));
        }
        for packed in [false, true] {
            assert!(!packed || git(root, &["gc", "-q", "--aggressive", "--prune=now"]));
            let commit = crate::store::repository::commit(root).unwrap();
            let text = format!("{} {}\n", 118, 3 * (118 % 7));
            let is = |path, content: &str| holds(root, &commit, [(path, content.as_bytes())].into_iter());
            assert!(is("p/deep/118.yaml", &text), "packed: {packed}");
            assert!(is("p/deep/118.yaml", &text.replace('\n', "\r\n")));
            assert!(!is("p/deep/118.yaml", "edited\n") && !is("p/deep/none.yaml", "") && !is("p/deep", ""));
            assert!(!holds(root, &"0".repeat(40), std::iter::empty()), "an unknown commit holds nothing");
        }
    }
}
