//! The places that outputs may go to.
//!
//! Tests only.

use super::*;

#[test]
fn folders_are_made_and_old_content_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/c.txt");
    for text in ["one", "two"] {
        write(&path, |out| out.write_all(text.as_bytes())).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), b"two");
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn content_that_fails_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    fs::write(&path, "old").unwrap();
    let failed = write(&path, |out| {
        out.write_all(b"half")?;
        Err(io::Error::other("no more"))
    });
    assert!(failed.unwrap_err().to_string().contains("plan.json: no more"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
}

#[test]
fn a_file_that_cannot_be_renamed_over_is_written_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mounted.json");
    fs::write(&path, "a longer old text").unwrap();
    for kind in [ErrorKind::ResourceBusy, ErrorKind::CrossesDevices, ErrorKind::PermissionDenied] {
        in_place(&path, &kind.into()).unwrap().unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }
    assert!(in_place(&path, &ErrorKind::StorageFull.into()).is_none());
    assert!(in_place(&folder.path().join("none"), &ErrorKind::PermissionDenied.into()).is_none());
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_out_of_the_working_directory_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (other, link) = (folder.path().join("other"), folder.path().join("link"));
    fs::write(&other, "keep").unwrap();
    std::os::unix::fs::symlink(&other, &link).unwrap();
    write(&link, |out| out.write_all(b"plan")).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(fs::read_to_string(&other).unwrap(), "keep");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_device_that_swallows_all_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("plan.md");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    let error = write(&link, |out| out.write_all(b"plan")).unwrap_err();
    assert!(error.to_string().contains("link to a device"), "{error}");
    write(Path::new("/dev/null"), |out| out.write_all(b"plan")).unwrap();
}

#[test]
fn the_folder_of_git_is_no_place_for_an_output_in_any_spelling() {
    let folder = tempfile::tempdir().unwrap();
    for place in
        [".git/config", "a/.git/hooks/post-checkout", ".GIT/HEAD", ".git", "x/../.git/HEAD", ".git./HEAD"]
    {
        let path = folder.path().join(place);
        let error = write(&path, |out| out.write_all(b"plan")).unwrap_err();
        assert!(error.to_string().contains("`.git`") && !path.exists(), "{place}: {error}");
        assert!(temporary(&path).is_err() && append(&path).is_err(), "{place}");
    }
    for place in ["git/config", ".github/plan.md", ".gitignore"] {
        write(&folder.path().join(place), |out| out.write_all(b"plan")).unwrap();
    }
}
