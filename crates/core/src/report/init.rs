//! What `init` wrote, and what to do next.

use serde_json::json;

/// Writes it for people. `folder`: as they typed it; `.` needs no `cd`.
pub fn human(folder: &str, files: &[&str]) -> String {
    let listed: String = files.iter().map(|path| format!("  {path}\n")).collect();
    let enter = if folder == "." { String::new() } else { format!("  cd {folder}\n") };
    format!(
        "Wrote {} files to {folder}:\n{listed}Next, without an account:\n{enter}  mdetag validate\n  mdetag test\n  \
         mdetag plan --sandbox\n\
         Then name your tenant in mdetag.yaml and delete the CI files that you do not use.\n",
        files.len(),
    )
}

/// Writes it as one document.
pub fn json(folder: &str, files: &[&str]) -> String {
    format!("{:#}\n", json!({ "formatVersion": "1.0", "folder": folder, "files": files }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_steps_begin_with_the_new_folder() {
        let text = human("tags", &["a", "b"]);
        assert!(text.starts_with("Wrote 2 files to tags:\n  a\n  b\nNext") && text.contains("  cd tags\n"));
        assert!(!human(".", &["a"]).contains("  cd "));
    }
}
