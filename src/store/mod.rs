//! Files that mdetag writes and reads back, and files of users: the only module that names formats and versions.
//!
//! Decides nothing: the content of files goes to the pipeline, and results of the pipeline go into files.

pub mod backend;
pub mod baselines_file;
pub mod changed_back;
mod compression;
pub mod history;
pub mod history_entries;
pub mod journal;
pub mod history_index;
pub mod retention;
mod journal_error;
mod journal_header;
mod journal_line;
mod shared_ledger;
pub mod kept_snapshot;
pub mod ledger;
pub mod lock;
pub mod output_file;
pub mod path_text;
pub mod owed_file;
mod private_folder;
pub mod pending_file;
pub mod policy_files;
pub mod probe_journal;
pub mod state_copy;
pub mod regular_file;
pub mod repository;
pub mod service_file;
pub mod set_name;
pub mod snapshot_header;
pub mod snapshot_file;
pub mod snapshot_writer;
mod git_folder;
mod git_index;
mod git_objects;
mod state_file;
mod state_json;
pub mod state;
pub mod unwritable;
pub mod whole_file;
