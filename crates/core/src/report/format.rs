//! The formats of reports: one list for the command line, its help and the dispatch.
//!
//! Renders nothing; `report::write` does.

/// Declares each format once; a format that [`super::write`] forgets does not compile.
macro_rules! formats {
    ($(#[doc = $meaning:literal] $(#[$attribute:ident])? $format:ident = $name:literal,)+) => {
        /// A form of a report.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Format {
            $(#[doc = $meaning] $(#[$attribute])? $format,)+
        }

        impl Format {
            /// In the order in which help lists them.
            pub const ALL: &[Format] = &[$(Format::$format),+];

            /// The word on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Format::$format => $name,)+
                }
            }

            /// Its description in help.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Format::$format => $meaning.trim_ascii(),)+
                }
            }
        }
    };
}

formats! {
    /// For people
    #[default]
    Human = "human",
    /// One JSON document
    Json = "json",
    /// One JSON line a change
    Ndjson = "ndjson",
    /// A comment on a pull request
    Markdown = "markdown",
    /// One self-contained page
    Html = "html",
    /// Test results
    Junit = "junit",
    /// Code-scanning results
    Sarif = "sarif",
    /// Metrics for a text collector
    Openmetrics = "openmetrics",
    /// A table
    Csv = "csv",
    /// A table with a byte order mark, for Excel
    CsvBom = "csv-bom",
    /// Annotations of GitHub Actions
    Github = "github",
    /// What GitLab shows beside the lines of a merge request
    CodeQuality = "codequality",
    /// A matrix of jobs for GitLab
    Gitlab = "gitlab",
    /// A Kubernetes Indexed Job
    Kubernetes = "k8s",
}

impl Format {
    /// `None` if the word is not the name of a format.
    pub fn parse(name: &str) -> Option<Format> {
        Format::ALL.iter().copied().find(|format| format.name() == name)
    }

    /// Whether all of the output is JSON.
    pub fn is_json(self) -> bool {
        use Format::{
            CodeQuality, Csv, CsvBom, Github, Gitlab, Html, Human, Json, Junit, Kubernetes, Markdown, Ndjson,
            Openmetrics, Sarif,
        };
        // No wildcard: a new format must state it.
        match self {
            Json | Ndjson | Sarif | CodeQuality | Gitlab | Kubernetes => true,
            Human | Markdown | Html | Junit | Openmetrics | Csv | CsvBom | Github => false,
        }
    }

    /// Whether a plan can be written in this format, on standard output or in a file.
    pub fn is_of_a_plan(self) -> bool {
        use Format::{
            CodeQuality, Csv, CsvBom, Github, Gitlab, Html, Human, Json, Junit, Kubernetes, Markdown, Ndjson,
            Openmetrics, Sarif,
        };
        match self {
            Human | Json | Ndjson | Markdown | Html | Junit | Sarif | Openmetrics | Csv | CsvBom
            | CodeQuality => true,
            Github | Gitlab | Kubernetes => false,
        }
    }

    /// Whether commands that report a plan can write it to standard output. The others are for `validate` or for files.
    pub fn is_offered(self) -> bool {
        self.is_of_a_plan() && self != Format::CodeQuality
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_back() {
        assert!(Format::ALL.iter().all(|format| Format::parse(format.name()) == Some(*format)));
        assert_eq!(Format::parse("xml"), None);
    }
}
