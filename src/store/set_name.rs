//! The state's name of a policy set, and which names mean the same set or a part of it: `ORIGIN ARGUMENT…`.
//!
//! A set is identified by its repository and its roots, and the root of a file is its folder. So naming a folder or a file in it
//! means the same set, and whatever counts for one spelling counts for all.
//!
//! Outside of a repository, a set has two names: relative to the working directory and absolute. So a copy of the folder is the same
//! set, and so is the same folder from another working directory.
//!
//! A repository has many addresses: https and ssh, with a port or `.git`, in different case. All of them mean the same
//! repository.
//!
//! Reads no file.

/// The name of the set that these arguments stand for, each in its spellings: relative to the repository's root, or, where there is
/// no repository, relative to the working directory and absolute.
pub fn name(origin: &str, arguments: impl Iterator<Item = Vec<String>>) -> String {
    let spelled = |spellings: Vec<String>| {
        let mut spellings: Vec<String> =
            spellings.iter().map(|spelling| plain(spelling.trim_end_matches('/'))).collect();
        spellings.dedup();
        spellings.join("|")
    };
    let mut arguments: Vec<String> = arguments.map(spelled).collect();
    arguments.sort_unstable();
    arguments.dedup();
    format!("{} {}", plain(&repository(origin)), arguments.join(" "))
}

/// A repository by host and path, however its address is written. Repositories that differ only in port or case count as the
/// same: at worst one's runs count for the other too, whereas the opposite would let a cap or a wait be bypassed.
fn repository(address: &str) -> String {
    let address = address.split(['?', '#']).next().unwrap_or_default().trim().to_lowercase();
    let (host, path) = match address.split_once("://") {
        Some(("file", path)) => ("", path),
        Some((_, rest)) => rest.split_once('/').unwrap_or((rest, "")),
        // `user@host:path` for ssh; a single letter is a drive.
        None => match address.split_once(':') {
            Some((host, path)) if host.len() > 1 && !host.contains(['/', '\\']) => (host, path),
            _ => ("", &*address),
        },
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let host = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(host, _)| host);
    let host = host.trim_end_matches('.');
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    // GitHub, GitLab and Bitbucket answer ssh on port 443 under separate host names.
    let host = ["altssh.", "ssh."].iter().find_map(|prefix| host.strip_prefix(prefix)).unwrap_or(host);
    let (host, path) = azure(host, path);
    if host.is_empty() { path } else { format!("{host}/{path}") }
}

/// Azure DevOps has several addresses for a repository, `ORG/PROJECT/_git/NAME` by https and `v3/ORG/PROJECT/NAME` by ssh.
fn azure<'h>(host: &'h str, path: &str) -> (&'h str, String) {
    const HOST: &str = "dev.azure.com";
    let path = path
        .strip_prefix("v3/")
        .filter(|_| host == HOST || host.ends_with("visualstudio.com"))
        .unwrap_or(path);
    let plain = || path.replacen("/_git/", "/", 1);
    match host.strip_suffix(".visualstudio.com") {
        Some("vs-ssh") => (HOST, plain()),
        Some(organization) => {
            let plain = format!("/{path}").replacen("/defaultcollection/", "/", 1).replacen("/_git/", "/", 1);
            (HOST, format!("{organization}{plain}"))
        }
        None if host == HOST => (HOST, plain()),
        None => (host, path.to_owned()),
    }
}

/// Whether two names are of the same repository. Names of earlier versions contain its address as written.
fn is_one_repository(one: &str, other: &str) -> bool {
    let address = |plain: &str| repository(&plain.replace("%20", " ").replace("%25", "%"));
    one == other || address(one) == address(other)
}

/// Text without spaces and `|`, because spaces separate the arguments of a name and `|` separates the spellings of one.
fn plain(text: &str) -> String {
    text.replace('%', "%25").replace(' ', "%20").replace('|', "%7C")
}

/// A name as people read it: of each argument the spelling that was typed.
pub fn shown(name: &str) -> String {
    let Some((origin, arguments)) = name.split_once(' ') else { return name.to_owned() };
    let typed = |argument: &str| argument.split('|').next().unwrap_or_default().to_owned();
    let arguments: Vec<String> = arguments.split(' ').map(typed).collect();
    format!("{origin} {}", arguments.join(" "))
}

/// Whether any spelling of one argument and any of another one agree.
fn agree(one: &str, other: &str, with: impl Fn(&str, &str) -> bool) -> bool {
    one.split('|').any(|one| other.split('|').any(|other| with(one, other)))
}

/// Whether two sets share a root, or a root of one is inside a root of the other, so that runs of one count for the other.
pub fn overlap(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let (Some((origin, one)), Some((other_origin, other))) = (one.split_once(' '), other.split_once(' '))
    else {
        return false;
    };
    let meet = |one: &str, other: &str| {
        let (one, other) = (root(one), root(other));
        is_below(one, other) || is_below(other, one)
    };
    is_one_repository(origin, other_origin)
        && one.split(' ').any(|one| other.split(' ').any(|other| agree(one, other, meet)))
}

/// Whether a set contains every file of another: each of the other's arguments is inside one of its own.
pub fn covers(whole: &str, part: &str) -> bool {
    if whole == part {
        return true;
    }
    let (Some((origin, whole)), Some((part_origin, part))) = (whole.split_once(' '), part.split_once(' '))
    else {
        return false;
    };
    is_one_repository(origin, part_origin)
        && part.split(' ').all(|part| whole.split(' ').any(|whole| agree(part, whole, is_below)))
}

/// Whether they are the same set: the same roots, whichever files are named, or one contains the other.
pub fn is_one(one: &str, other: &str) -> bool {
    let (Some((origin, roots)), Some((other_origin, other_roots))) =
        (one.split_once(' '), other.split_once(' '))
    else {
        return one == other;
    };
    let is_same = |one: &str, other: &str| root(one) == root(other);
    let all_in = |one: &str, other: &str| {
        one.split(' ').all(|one| other.split(' ').any(|other| agree(one, other, is_same)))
    };
    let has_same_roots = || all_in(roots, other_roots) && all_in(other_roots, roots);
    covers(one, other) || covers(other, one) || is_one_repository(origin, other_origin) && has_same_roots()
}

/// The root of an argument: a folder itself, or the folder of a file.
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
        "." => {
            !path.starts_with('/') && path.get(1..2) != Some(":") && path != ".." && !path.starts_with("../")
        }
        _ => path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || folder == "/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(arguments: &str) -> String {
        name("https://git.example.com/a/b", arguments.split(' ').map(one))
    }

    fn one(argument: &str) -> Vec<String> {
        vec![argument.to_owned()]
    }

    #[test]
    fn outside_of_a_repository_a_set_is_the_same_wherever_it_is_typed_and_wherever_its_copy_lies() {
        let of = |relative: &str, absolute: &str| {
            name("", [vec![relative.to_owned(), absolute.to_owned()]].into_iter())
        };
        let here = of("policies", "/a b/policies");
        for other in [
            of("a b/policies", "/a b/policies"),
            of("../policies", "/a b/policies"),
            of("p.yaml", "/a b/policies/p.yaml"),
            of("policies", "/copy/policies"),
            name("", [one("policies")].into_iter()),
        ] {
            assert!(overlap(&here, &other) && overlap(&other, &here), "{other}");
            assert!(is_one(&here, &other) && is_one(&other, &here), "{other}");
        }
        assert!(covers(&here, &of("p.yaml", "/a b/policies/p.yaml")));
        assert_eq!(shown(&here), " policies");
        for other in [of("other", "/a b/other"), of("c|policies", "/c|policies")] {
            assert!(!overlap(&here, &other) && !is_one(&here, &other), "{other}");
        }
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
        assert!(!overlap(&whole, &name("", [one("policies")].into_iter())), "another repository");
        assert!(overlap(&set("policies/a.yaml"), &set("policies/b.yaml")));
    }

    #[test]
    fn a_set_is_the_same_by_every_address_of_its_repository() {
        let of = |address: &str| name(address, [one("policies")].into_iter());
        let github = of("https://github.com/o/r");
        for address in [
            "https://github.com/o/r.git",
            "https://GitHub.com/O/R/",
            "https://github.com:443/o/r",
            "https://token@github.com/o/r",
            "http://github.com/o/r?token=x",
            "git@github.com:o/r.git",
            "github.com:o/r",
            "ssh://git@github.com:22/o/r.git",
            "ssh://git@ssh.github.com:443/o/r.git",
            "git://github.com/o/r",
        ] {
            assert_eq!(of(address), github, "{address}");
            // The form of names of earlier versions.
            let earlier = format!("{} policies", plain(address));
            assert!(
                overlap(&earlier, &github) && covers(&github, &earlier) && is_one(&earlier, &github),
                "{address}"
            );
        }
        let azure = of("https://dev.azure.com/org/My%20Project/_git/r");
        for address in [
            "https://org@dev.azure.com/org/My%20Project/_git/r",
            "git@ssh.dev.azure.com:v3/org/My%20Project/r",
            "https://org.visualstudio.com/My%20Project/_git/r",
            "https://org.visualstudio.com/DefaultCollection/My%20Project/_git/r",
            "org@vs-ssh.visualstudio.com:v3/org/My%20Project/r",
        ] {
            assert_eq!(of(address), azure, "{address}");
        }
        assert_eq!(of("file:///srv/git/r.git"), of("/srv/git/r"));
        for other in
            ["https://github.com/o/r2", "https://github.com/o2/r", "https://gitlab.com/o/r", "C:\\o\\r", ""]
        {
            assert!(!overlap(&of(other), &github), "{other}");
        }
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
        let spaced = name("", [one("my policies")].into_iter());
        assert!(!overlap(&spaced, &name("", [one("policies")].into_iter())));
        assert!(overlap(&spaced, &name("", [one("my policies/p.yaml")].into_iter())));
    }
}
