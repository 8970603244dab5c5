//! The rights of a new state directory on Windows: only its user, administrators and the system may use it and everything in it.
//! On other systems a folder is created with its rights.

use std::path::Path;

/// Removes the rights that the parent folder gives to others. A file system without rights (FAT) keeps none, as elsewhere.
#[cfg(windows)]
pub(super) fn close(folder: &Path) {
    if let Err(error) = set(folder) {
        let folder = super::path_text::shown(folder);
        tracing::warn!(%error, folder, "the state directory keeps the rights of the folder above it");
    }
}

#[cfg(not(windows))]
pub(super) fn close(_: &Path) {}

#[cfg(windows)]
fn set(folder: &Path) -> std::io::Result<()> {
    use windows_permissions::constants::{SeObjectType, SecurityInformation};
    use windows_permissions::utilities::current_process_sid;
    use windows_permissions::wrappers::SetNamedSecurityInfo;
    use windows_permissions::{LocalBox, SecurityDescriptor};

    // Protected: nothing is inherited. OI and CI: content inherits it. FA: all rights. SY: the system, BA: administrators.
    let user = current_process_sid()?;
    let rights = format!("D:P(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)");
    let rights: LocalBox<SecurityDescriptor> = rights.parse()?;
    let what = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
    SetNamedSecurityInfo(folder, SeObjectType::SE_FILE_OBJECT, what, None, None, rights.dacl(), None)
}

#[cfg(test)]
mod tests {
    // On other systems `state_file` tests the mode of a folder.
    #[cfg(windows)]
    #[test]
    fn a_closed_folder_has_no_rights_from_above_and_what_is_made_in_it_has_its_own() {
        use windows_permissions::constants::{SeObjectType, SecurityInformation};
        use windows_permissions::wrappers::GetNamedSecurityInfo;

        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("state");
        std::fs::create_dir(&folder).unwrap();
        super::close(&folder);
        std::fs::write(folder.join("file"), "").unwrap();
        for path in [folder.clone(), folder.join("file")] {
            let rights =
                GetNamedSecurityInfo(&path, SeObjectType::SE_FILE_OBJECT, SecurityInformation::Dacl).unwrap();
            let rights = rights.as_sddl().unwrap().into_string().unwrap();
            assert_eq!(rights.matches("(A;").count(), 3, "{rights}");
            assert!(rights.contains(";;;SY)") && rights.contains(";;;BA)"), "{rights}");
        }
    }
}
