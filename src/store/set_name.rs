//! How the state names a policy set, and which names stand for one set or for a part of it: `ORIGIN ARGUMENT…`.
//!
//! A set is known by its repository and its roots, and the root of a file is its folder. So a set is the same whether its folder
//! or a file in it is named, and whatever counts for one spelling counts for all.
//!
//! Reads no file.

/// The name of the set that these arguments stand for; paths are relative to the repository's root.
pub fn name<'a>(origin: &str, arguments: impl Iterator<Item = &'a str>) -> String {
    let mut arguments: Vec<String> =
        arguments.map(|argument| plain(argument.trim_end_matches('/'))).collect();
    arguments.sort_unstable();
    arguments.dedup();
    format!("{} {}", plain(origin), arguments.join(" "))
}

/// Names stand beside each other with spaces between them.
fn plain(text: &str) -> String {
    text.replace('%', "%25").replace(' ', "%20")
}

/// Whether two sets share a root, or a root of one lies in a root of the other. What was done for one counts for the other then.
pub fn overlap(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let (Some((origin, one)), Some((other_origin, other))) = (one.split_once(' '), other.split_once(' '))
    else {
        return false;
    };
    let meet = |one: &str, other: &str| is_below(one, other) || is_below(other, one);
    origin == other_origin
        && one.split(' ').map(root).any(|one| other.split(' ').map(root).any(|other| meet(one, other)))
}

/// Whether a set holds every file of another one: each argument of that lies in one of its own.
pub fn covers(whole: &str, part: &str) -> bool {
    if whole == part {
        return true;
    }
    let (Some((origin, whole)), Some((part_origin, part))) = (whole.split_once(' '), part.split_once(' '))
    else {
        return false;
    };
    origin == part_origin && part.split(' ').all(|part| whole.split(' ').any(|whole| is_below(part, whole)))
}

/// Whether they are one set: the same roots, whichever files of them are named, or one holds the other.
pub fn is_one(one: &str, other: &str) -> bool {
    let roots = |name: &str| {
        let (origin, arguments) = name.split_once(' ').unwrap_or(("", name));
        let mut roots: Vec<String> = arguments.split(' ').map(|argument| root(argument).to_owned()).collect();
        roots.sort_unstable();
        roots.dedup();
        (origin.to_owned(), roots)
    };
    covers(one, other) || covers(other, one) || roots(one) == roots(other)
}

/// The root of an argument: a folder itself, the folder of a file.
fn root(argument: &str) -> &str {
    if !argument.ends_with(".yaml") && !argument.ends_with(".yml") {
        return argument;
    }
    match argument.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

fn is_below(path: &str, folder: &str) -> bool {
    match folder {
        "." => !path.starts_with('/') && path != ".." && !path.starts_with("../"),
        _ => path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder == "/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(arguments: &str) -> String {
        name("https://git.example.com/a/b", arguments.split(' '))
    }

    #[test]
    fn a_set_overlaps_with_every_spelling_of_its_root_and_every_part_of_it() {
        let whole = set("policies");
        for other in
            ["policies/p.yaml", "policies policies/p.yaml", "policies/", "policies/team", ".", "p.yaml"]
        {
            assert!(overlap(&whole, &set(other)) && overlap(&set(other), &whole), "{other}");
        }
        for other in ["other", "policies2", "policies2/p.yaml", "/policies"] {
            assert!(!overlap(&whole, &set(other)) && !overlap(&set(other), &whole), "{other}");
        }
        assert!(!overlap(&whole, &name("", ["policies"].into_iter())), "another repository");
        assert!(overlap(&set("policies/a.yaml"), &set("policies/b.yaml")));
    }

    #[test]
    fn a_folder_covers_its_files_and_a_file_only_itself() {
        assert!(covers(&set("policies"), &set("policies/p.yaml policies/team")));
        assert!(!covers(&set("policies/p.yaml"), &set("policies")));
        assert!(!covers(&set("policies/p.yaml"), &set("policies/q.yaml")));
        assert!(!covers(&set("policies"), &set("policies other")));
    }

    #[test]
    fn one_set_has_the_same_roots_or_is_a_part() {
        assert!(is_one(&set("policies/a.yaml"), &set("policies/b.yaml")));
        assert!(is_one(&set("policies/team"), &set("policies")));
        assert!(!is_one(&set("one"), &set("other")) && !is_one(&set("a.yaml"), &set("policies")));
    }

    #[test]
    fn spaces_in_names_separate_nothing() {
        let spaced = name("", ["my policies"].into_iter());
        assert!(!overlap(&spaced, &name("", ["policies"].into_iter())));
        assert!(overlap(&spaced, &name("", ["my policies/p.yaml"].into_iter())));
    }
}
