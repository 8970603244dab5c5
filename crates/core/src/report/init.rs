//! The result of `init`, and the next steps.

#![expect(missing_docs, reason = "fields and variants are named by what they hold")]

use serde_json::json;

#[derive(Clone, Copy, Debug)]
pub struct InitReport<'a> {
    /// As typed by the user; `.` needs no `cd`.
    pub folder: &'a str,
    /// The name of the CI system; `none` if no recipe was written.
    pub ci: &'a str,
    pub files: &'a [&'a str],
    /// Files to which lines were added.
    pub added: &'a [&'a str],
    /// A file to which lines could not be added, and the lines.
    pub by_hand: Option<(&'a str, &'a str)>,
}

pub fn human(written: &InitReport<'_>) -> String {
    let folder = written.folder;
    let listed = |paths: &[&str]| paths.iter().map(|path| format!("  {path}\n")).collect::<String>();
    let mut text = format!("Wrote {} files to {folder}:\n{}", written.files.len(), listed(written.files));
    if !written.added.is_empty() {
        text.push_str(&format!("Added lines to what was there:\n{}", listed(written.added)));
    }
    if let Some((file, lines)) = written.by_hand {
        text.push_str(&format!(
            "Add this to {file} by hand; its form is not one that lines can be added to:\n"
        ));
        text.push_str(&listed(&lines.lines().collect::<Vec<_>>()));
    }
    let enter = if folder == "." { String::new() } else { format!("  cd {folder}\n") };
    let recipe = match written.ci {
        "none" => "; --ci github, gitlab or azure would have written a CI recipe",
        _ => "",
    };
    text.push_str(&format!(
        "Next, without an account:\n{enter}  mdetag validate\n  mdetag test\n  mdetag plan --sandbox\n\
         Then name your tenant in mdetag.yaml{recipe}.\n"
    ));
    text
}

/// Writes it as one document.
pub fn json(written: &InitReport<'_>) -> String {
    let document = json!({
        "formatVersion": "1.0",
        "folder": written.folder,
        "ci": written.ci,
        "files": written.files,
        "added": written.added,
        "byHand": written.by_hand.map(|(file, _)| file),
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_steps_begin_with_the_new_folder() {
        let written =
            InitReport { folder: "tags", ci: "github", files: &["a", "b"], added: &[], by_hand: None };
        let text = human(&written);
        assert!(text.starts_with("Wrote 2 files to tags:\n  a\n  b\nNext") && text.contains("  cd tags\n"));
        assert!(!human(&InitReport { folder: ".", ..written }).contains("  cd "));
    }
}
