//! Exit codes: one documented, tested type, the same for every command.
//!
//! Ends nothing itself: `main` passes the code to the shell.

use std::process::ExitCode;

/// The result of a command. The README and `docs/` print the same table; a test compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Success; `drift`: no drift; `plan`: planned, also with changes.
    Success,
    /// Usage, policy, identity, network, file.
    Error,
    /// `drift`: there is drift, also contested changes that `guard.accept` does not name; `plan --detailed-exitcode`: there are changes.
    Changes,
    /// Refused by the guard, or removals withheld for an untrusted inventory.
    Refused,
    /// Applied in part: some changes failed, bounced, or are unknown.
    Partial,
    /// Stopped early with work left: `apply --resume`.
    Stopped,
    /// Waiting for the next wave, nothing failed: `apply --resume` after `notBefore`.
    Waiting,
}

impl Exit {
    /// All codes in ascending order.
    pub const ALL: [Exit; 7] = [
        Exit::Success,
        Exit::Error,
        Exit::Changes,
        Exit::Refused,
        Exit::Partial,
        Exit::Stopped,
        Exit::Waiting,
    ];

    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Error => 1,
            Exit::Changes => 2,
            Exit::Refused => 3,
            Exit::Partial => 4,
            Exit::Stopped => 5,
            Exit::Waiting => 6,
        }
    }

    /// Its line in the table.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Success => "success; for `drift`: no drift; for `plan`: planned, also with changes",
            Exit::Error => "error: usage, policy, identity, network, file",
            Exit::Changes => {
                "`drift`: there is drift, also contested changes that `guard.accept` does not name; `plan --detailed-exitcode`: there are changes"
            }
            Exit::Refused => "refused by the guard, or removals withheld for an untrusted inventory",
            Exit::Partial => "applied in part: some changes failed, bounced, or are unknown",
            Exit::Waiting => "waiting for the next wave, nothing failed: `apply --resume` after `notBefore`",
            Exit::Stopped => {
                "stopped early with work left (deadline, call limit, signal, removals that wait for the list): `apply --resume`"
            }
        }
    }

    /// If several apply: the first of 1, 3, 4, 5, 6, 2, 0.
    #[must_use]
    pub fn worst(self, other: Exit) -> Exit {
        let order = [
            Exit::Error,
            Exit::Refused,
            Exit::Partial,
            Exit::Stopped,
            Exit::Waiting,
            Exit::Changes,
            Exit::Success,
        ];
        order.into_iter().find(|exit| *exit == self || *exit == other).unwrap_or(Exit::Success)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_several_is_the_first_of_1_3_4_5_6_2_0() {
        assert_eq!(Exit::Changes.worst(Exit::Stopped), Exit::Stopped);
        assert_eq!(Exit::Waiting.worst(Exit::Stopped), Exit::Stopped);
        assert_eq!(Exit::Changes.worst(Exit::Waiting), Exit::Waiting);
        assert_eq!(Exit::Partial.worst(Exit::Refused), Exit::Refused);
        assert_eq!(Exit::Refused.worst(Exit::Error), Exit::Error);
        assert_eq!(Exit::Success.worst(Exit::Changes), Exit::Changes);
        assert_eq!(Exit::Success.worst(Exit::Success), Exit::Success);
    }
}
