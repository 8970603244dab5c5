//! Policy sets on disk: the files of each argument, their text, and the data files that they name.
//!
//! Does not parse any of it; that is `policy`. An unreadable file becomes a finding, so that all findings come at once.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mdetag_core::diagnostic::{DataFile, Diagnostic, Source, Sources};
use mdetag_core::plan::digest::sha256;
use mdetag_core::plan::{FileReference, PolicyReference};
use mdetag_core::policy::{self, MAX_BYTES};

use super::path_text::shown;
use super::regular_file::{self, reason};

/// The largest data file, in bytes: a row of 250 bytes for each of two million devices.
const MAX_DATA_BYTES: u64 = 512 << 20;

/// The most entries that a walk visits, and the deepest folder: links can make a small tree look endless.
const MAX_ENTRIES: usize = 100_000;
const MAX_DEPTH: usize = 64;

/// The files of all arguments.
#[derive(Debug, Default)]
pub struct PolicyFiles {
    /// The policy set with its data files.
    pub policy: Sources,
    /// Its tests (`*.test.yaml`).
    pub tests: Sources,
    /// The folder of each root, in the order of the arguments.
    roots: Vec<PathBuf>,
    /// The path of each argument in its root: the folder, or the file.
    arguments: Vec<PathBuf>,
}

/// Reads policy files, their tests, and the data files that they name. Each argument is a file or a folder, with a root of its
/// own. A file in two arguments is read once. Messages name files relative to `base` (the repository's root, else the working
/// directory) if they are below it, else as the arguments do.
pub fn read(arguments: &[PathBuf], base: &Path) -> PolicyFiles {
    let base = fs::canonicalize(base).unwrap_or_else(|_| base.to_path_buf());
    let mut files = PolicyFiles::default();
    let mut seen = HashSet::new();
    for (root, argument) in arguments.iter().enumerate() {
        let found = match find(argument, &name_of(argument, &base)) {
            Ok(found) => found,
            Err(finding) => {
                files.policy.unread.push(*finding);
                files.roots.push(argument.clone());
                files.arguments.push(argument.clone());
                continue;
            }
        };
        files.policy.unread.extend(found.findings);
        files.arguments.push(match found.paths.first() {
            Some(file) if !found.is_folder => found.folder.join(file),
            _ => found.folder.clone(),
        });
        for path in found.paths {
            let full = found.folder.join(&path);
            if !fs::canonicalize(&full).is_ok_and(|real| seen.insert(real)) {
                continue;
            }
            let name = match found.is_folder {
                true => below(&name_of(argument, &base), &path),
                false => name_of(argument, &base),
            };
            let is_test = is_test(&path);
            let into = if is_test { &mut files.tests } else { &mut files.policy };
            match regular_file::text(&full, MAX_BYTES as u64) {
                Ok(text) => {
                    into.files.push(Source::new(name, root as u32, path, text));
                }
                Err(why) => into.unread.push(unread(&name, &why)),
            }
        }
        files.roots.push(found.folder);
    }
    let requests = policy::data_files(&files.policy);
    // A file that a policy names as data is data, wherever it is. But a file that says it is a policy stays one: naming the
    // guard's file as a list must not switch off the guard.
    files.policy.files.retain(|file| {
        let is_data = requests.iter().any(|request| request.root == file.root && request.path == file.path);
        !is_data || file.text.lines().any(|line| line.starts_with("version:"))
    });
    for request in requests {
        let root = &files.roots[request.root as usize];
        let path = request.path.clone();
        files.policy.data.entry((request.root, request.path)).or_insert_with(|| data_file(root, &path));
    }
    files
}

impl PolicyFiles {
    /// Every file that was read, data files included, with its path from the repository's root; `None` if one is outside.
    pub(super) fn contents(&self, root: &Path) -> Option<Vec<(String, &[u8])>> {
        let root = fs::canonicalize(root).ok()?;
        let name = |of: u32, path: &str| {
            let full = self.roots[of as usize].join(path);
            full.strip_prefix(&root).ok().map(shown)
        };
        let texts =
            self.policy.files.iter().map(|file| Some((name(file.root, &file.path)?, file.text.as_bytes())));
        let data = self.policy.data.iter().filter_map(|((of, path), data)| {
            data.as_ref().ok().map(|data| Some((name(*of, path)?, &data[..])))
        });
        texts.chain(data).collect()
    }

    /// The folders among the arguments, from the repository's root (`""` for itself); `None` if an argument is outside.
    pub(super) fn folders(&self, root: &Path) -> Option<Vec<String>> {
        let root = fs::canonicalize(root).ok()?;
        let folders = self.arguments.iter().zip(&self.roots).filter(|(argument, folder)| argument == folder);
        folders.map(|(_, folder)| folder.strip_prefix(&root).ok().map(shown)).collect()
    }

    /// The files as plans record them, data files included: paths relative to `base` (the repository's root, else the working
    /// directory), and one digest of everything that a review covers. The caller adds the commit.
    pub fn reference(&self, base: &Path) -> PolicyReference {
        let base = fs::canonicalize(base).unwrap_or_else(|_| base.to_path_buf());
        let relative = |root: u32, path: &str| {
            let full = self.roots[root as usize].join(path);
            shown(full.strip_prefix(&base).unwrap_or(&full))
        };
        let (mut files, mut reviewed) = (Vec::new(), Vec::new());
        for file in &self.policy.files {
            let path = relative(file.root, &file.path);
            if let Some(content) = policy::reviewed_content(&file.text) {
                reviewed.push(FileReference { path: path.clone(), digest: sha256(content.as_bytes()) });
            }
            files.push(FileReference { path, digest: sha256(file.text.as_bytes()) });
        }
        for ((root, path), data) in &self.policy.data {
            let Ok(data) = data else { continue };
            let file = FileReference { path: relative(*root, path), digest: sha256(data) };
            reviewed.push(file.clone());
            files.push(file);
        }
        for list in [&mut files, &mut reviewed] {
            list.sort_by(|one, other| {
                one.path.as_bytes().cmp(other.path.as_bytes()).then_with(|| one.digest.cmp(&other.digest))
            });
            list.dedup();
        }
        let list: String = reviewed.iter().map(|file| format!("{}  {}\n", file.digest, file.path)).collect();
        let arguments =
            self.arguments.iter().map(|path| match shown(path.strip_prefix(&base).unwrap_or(path)) {
                base if base.is_empty() => ".".to_owned(),
                path => path,
            });
        let arguments = arguments.collect();
        PolicyReference {
            digest: sha256(list.as_bytes()),
            files,
            commit: None,
            dirty: false,
            arguments,
            reviewed,
        }
    }
}

/// The files of one argument.
struct Found {
    /// The root, with links resolved.
    folder: PathBuf,
    is_folder: bool,
    /// Paths below the root, in order.
    paths: Vec<String>,
    findings: Vec<Diagnostic>,
}

fn find(argument: &Path, name: &str) -> Result<Found, Box<Diagnostic>> {
    let real = fs::canonicalize(argument).map_err(|error| {
        Diagnostic::error("E0111", None, format!("`{name}` cannot be read: {}", reason(&error)))
            .help("name a policy file or a folder of them; `mdetag init` writes a first policy")
    })?;
    if !real.is_dir() {
        // The name as given decides whether this is a test, not the name of a link's target.
        let parent =
            argument.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(parent).map_err(|error| unread(name, &reason(&error)))?;
        let file = argument.file_name().and_then(|file| file.to_str());
        let file = file.ok_or_else(|| unread(name, "its name is not UTF-8 text"))?;
        // Windows and macOS treat `Servers.YAML` and `servers.yaml` as the same file. The disk's spelling counts, or a plan would
        // not recognise its file.
        let on_disk = real.file_name().and_then(|real| real.to_str());
        let file = on_disk.filter(|real| real.to_lowercase() == file.to_lowercase()).unwrap_or(file);
        return Ok(Found { folder, is_folder: false, paths: vec![file.to_owned()], findings: Vec::new() });
    }
    let mut walk = Walk { root: real.clone(), name, paths: Vec::new(), findings: Vec::new(), entries: 0 };
    walk.folder(&real, "", &mut vec![real.clone()]);
    let Walk { mut paths, mut findings, .. } = walk;
    paths.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
    if findings.is_empty() && !paths.iter().any(|path| !is_test(path)) {
        let finding = Diagnostic::error("E0111", None, format!("`{name}` holds no policy file"));
        findings.push(finding.help("a folder is searched for *.yaml and *.yml; hidden entries are skipped"));
    }
    Ok(Found { folder: real, is_folder: true, paths, findings })
}

/// A walk below one root.
struct Walk<'w> {
    root: PathBuf,
    name: &'w str,
    paths: Vec<String>,
    findings: Vec<Diagnostic>,
    entries: usize,
}

impl Walk<'_> {
    /// `above`: the real paths of the folders that the walk is in.
    fn folder(&mut self, folder: &Path, relative: &str, above: &mut Vec<PathBuf>) {
        let entries = match fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
            Ok(entries) => entries,
            Err(error) => return self.unread(relative, &reason(&error)),
        };
        let mut names: Vec<_> = entries.into_iter().map(|entry| entry.file_name()).collect();
        names.sort();
        for name in names {
            self.entries += 1;
            if self.entries == MAX_ENTRIES {
                self.unread(relative, &format!("the folder has more than {MAX_ENTRIES} entries"));
            }
            if self.entries >= MAX_ENTRIES {
                return;
            }
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let Some(text) = name.to_str() else {
                let looks = name.as_encoded_bytes();
                if looks.ends_with(b".yaml") || looks.ends_with(b".yml") {
                    self.unread(&joined(relative, &name.to_string_lossy()), "its name is not UTF-8 text");
                }
                continue;
            };
            self.entry(&folder.join(&name), &joined(relative, text), above);
        }
    }

    fn entry(&mut self, path: &Path, relative: &str, above: &mut Vec<PathBuf>) {
        let is_policy = relative.ends_with(".yaml") || relative.ends_with(".yml");
        let is_link = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
        let real = match fs::canonicalize(path) {
            Ok(real) => real,
            Err(error) if is_policy => return self.unread(relative, &reason(&error)),
            // A broken link that is not a policy does not matter; one in a loop could hide a folder.
            Err(error) if is_link && error.kind() != std::io::ErrorKind::NotFound => {
                return self.unread(relative, "it is a link that leads back to itself");
            }
            Err(_) => return,
        };
        let is_folder = real.is_dir();
        if !is_folder && !is_policy {
            return;
        }
        if is_link && !real.starts_with(&self.root) {
            return self.unread(relative, "it is a link that leaves the policy root");
        }
        if !is_folder {
            return self.paths.push(relative.to_owned());
        }
        if above.contains(&real) {
            return self.unread(relative, "it is a link that leads back to a folder above it");
        }
        if above.len() > MAX_DEPTH {
            return self.unread(relative, &format!("it lies more than {MAX_DEPTH} folders deep"));
        }
        above.push(real);
        self.folder(path, relative, above);
        above.pop();
    }

    fn unread(&mut self, relative: &str, why: &str) {
        self.findings.push(unread(&below(self.name, relative), why));
    }
}

fn joined(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// Whether a walk below a folder treats the file at this path as a policy.
pub(super) fn is_policy(path: &str) -> bool {
    let is_hidden = path.split('/').any(|part| part.starts_with('.'));
    !is_hidden && (path.ends_with(".yaml") || path.ends_with(".yml")) && !is_test(path)
}

fn is_test(path: &str) -> bool {
    path.ends_with(".test.yaml") || path.ends_with(".test.yml")
}

fn unread(name: &str, why: &str) -> Diagnostic {
    Diagnostic::error("E0109", None, format!("`{name}` cannot be read: {why}"))
}

/// The name of an argument for people: its path from the repository's root, whatever folder they are in; outside of it, as typed.
fn name_of(argument: &Path, base: &Path) -> String {
    let parent = argument.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let real = match argument.file_name() {
        // People know the link itself, not its target.
        Some(file) => fs::canonicalize(parent).map(|parent| parent.join(file)),
        None => fs::canonicalize(argument),
    };
    match real.as_deref().unwrap_or(argument).strip_prefix(base) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => shown(inside),
        Err(_) => shown(argument),
    }
}

/// The path for people: the name of an argument, and the path below it.
fn below(argument: &str, relative: &str) -> String {
    let argument = argument.strip_prefix("./").unwrap_or(argument).trim_end_matches('/');
    match argument {
        "" | "." => relative.to_owned(),
        folder if relative.is_empty() => folder.to_owned(),
        folder => format!("{folder}/{relative}"),
    }
}

fn data_file(root: &Path, path: &str) -> DataFile {
    let full = root.join(path);
    let real = fs::canonicalize(&full).map_err(|error| reason(&error))?;
    if !real.starts_with(root) {
        return Err("it is a link that leaves the policy root".to_owned());
    }
    regular_file::bytes(&real, MAX_DATA_BYTES).map(Arc::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let full = folder.path().join(path);
            fs::create_dir_all(full.parent().unwrap()).unwrap();
            fs::write(full, text).unwrap();
        }
        folder
    }

    fn paths(sources: &Sources) -> Vec<&str> {
        sources.files.iter().map(|file| file.path.as_str()).collect()
    }

    fn unread_of(files: &PolicyFiles) -> Vec<String> {
        files
            .policy
            .unread
            .iter()
            .map(|finding| finding.message.rsplit(": ").next().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn folders_are_walked_in_bytewise_order_of_the_relative_path() {
        let folder = folder(&[
            ("b.yaml", ""),
            ("a/z.yml", ""),
            ("a.yaml", ""),
            ("a-b.yaml", ""),
            ("B.yaml", ""),
            ("a/.hidden.yaml", ""),
            (".git/c.yaml", ""),
            ("a.yaml.bak", ""),
            ("a/z.test.yml", ""),
            ("t.test.yaml", ""),
        ]);
        let files = read(&[folder.path().to_path_buf()], Path::new("nowhere"));
        assert_eq!(paths(&files.policy), ["B.yaml", "a-b.yaml", "a.yaml", "a/z.yml", "b.yaml"]);
        assert_eq!(paths(&files.tests), ["a/z.test.yml", "t.test.yaml"]);
        assert!(files.policy.unread.is_empty());
    }

    #[test]
    fn a_file_argument_has_its_folder_as_root_and_keeps_its_name() {
        let folder = folder(&[("p/a.yaml", "x: { inFile: data/l.txt }"), ("p/data/l.txt", "srv")]);
        let argument = folder.path().join("p/a.yaml");
        let files = read(&[argument.clone(), folder.path().join("p")], Path::new("nowhere"));
        assert_eq!(&*files.policy.files[0].name, argument.to_str().unwrap());
        assert_eq!(files.policy.files.len(), 1, "the same file twice is read once");
        assert_eq!(files.policy.data[&(0, "data/l.txt".to_owned())].as_deref(), Ok(b"srv".as_slice()));
    }

    #[cfg(unix)]
    #[test]
    fn data_paths_are_relative_to_the_naming_file_and_links_cannot_leave() {
        let folder = folder(&[
            (
                "p/sub/a.yaml",
                "x: { inFile: ../l.txt }\ny: { inFile: ../../secret.txt }\nz: { inFile: link.txt }\nw: { inFile: none.txt }",
            ),
            ("p/l.txt", "srv"),
            ("secret.txt", "secret"),
        ]);
        std::os::unix::fs::symlink("../../secret.txt", folder.path().join("p/sub/link.txt")).unwrap();
        let files = read(&[folder.path().join("p")], Path::new("nowhere"));
        let data: Vec<_> =
            files.policy.data.iter().map(|((_, path), data)| (path.as_str(), data.is_ok())).collect();
        assert_eq!(data, [("l.txt", true), ("sub/link.txt", false), ("sub/none.txt", false)]);
    }

    #[cfg(unix)]
    #[test]
    fn links_that_loop_or_leave_the_root_are_findings() {
        let folder = folder(&[("p/a.yaml", ""), ("p/real/b.yaml", ""), ("out/c.yaml", "")]);
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, folder.path().join("p").join(name)).unwrap()
        };
        link("..", "up");
        link(".", "here");
        link("self.yaml", "self.yaml");
        link("../out/c.yaml", "out.yaml");
        link("a.yaml", "same.yaml");
        link("gone.yaml", "broken.yaml");
        let files = read(&[folder.path().join("p")], Path::new("nowhere"));
        assert_eq!(paths(&files.policy), ["a.yaml", "real/b.yaml"]);
        let back = "it is a link that leads back to";
        let leaves = "it is a link that leaves the policy root";
        assert_eq!(
            unread_of(&files),
            [
                "there is no such file",
                &format!("{back} a folder above it"),
                leaves,
                &format!("{back} itself"),
                leaves
            ]
        );
    }

    #[test]
    fn unreadable_files_are_findings_and_not_the_end() {
        let folder = folder(&[("a.yaml", "version: 1")]);
        fs::write(folder.path().join("b.yaml"), b"a: 1\nb: \xff\n").unwrap();
        fs::File::create(folder.path().join("c.yaml")).unwrap().set_len(50 << 20).unwrap();
        let files = read(&[folder.path().to_path_buf(), folder.path().join("nowhere")], Path::new("nowhere"));
        assert_eq!(paths(&files.policy), ["a.yaml"]);
        assert_eq!(
            unread_of(&files),
            [
                "it is not UTF-8 text (line 2); save it as UTF-8",
                "it has more than 10485760 bytes",
                "there is no such file"
            ]
        );
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(read(&[empty.path().to_path_buf()], Path::new("nowhere")).policy.unread[0].code, "E0111");
    }

    #[test]
    fn the_reference_holds_every_file_and_changes_with_each() {
        let folder = folder(&[("p/a.yaml", "x: { inFile: l.txt }"), ("p/l.txt", "srv")]);
        let reference = || read(&[folder.path().join("p")], Path::new("nowhere")).reference(folder.path());
        let first = reference();
        assert_eq!(
            first.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
            ["p/a.yaml", "p/l.txt"]
        );
        assert_eq!(first.arguments, ["p"]);
        assert_eq!(
            read(&[folder.path().join("p/a.yaml")], Path::new("nowhere")).reference(folder.path()).arguments,
            ["p/a.yaml"]
        );
        assert_eq!(first.digest.len(), "sha256:".len() + 64);
        assert_eq!(first, reference());
        fs::write(folder.path().join("p/l.txt"), "other").unwrap();
        assert_ne!(first.digest, reference().digest);
    }

    #[test]
    fn a_file_that_a_policy_names_as_data_is_no_policy_unless_it_says_that_it_is_one() {
        let folder = folder(&[
            ("p/a.yaml", "version: 1\ndeviceGroups: { file: groups.yaml }\nx: { inFile: guard.yaml }"),
            ("p/groups.yaml", "groups: []"),
            ("p/guard.yaml", "version: 1\nguard: {}"),
        ]);
        let files = read(&[folder.path().join("p")], Path::new("nowhere"));
        let names: Vec<&str> = files.policy.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names, ["a.yaml", "guard.yaml"]);
        assert_eq!(files.policy.data.len(), 2);
    }
}
