//! Fits groups on one screen: additions with the same cause become one line, and the smallest are summed up.
//!
//! Never folds a planned removal; never loses a count.

use crate::plan::CauseIndex;

use super::model::{ChangeGroup, ReportedChange, Totals};

/// Groups with the same cause before they become one line: a template can yield hundreds of tags.
const TAGS_OF_ONE_CAUSE: usize = 6;

/// Lines that can be summed up, before the smallest are, on a terminal.
pub const SCREEN: usize = 30;

/// A line of the list of groups.
#[derive(Clone, Debug)]
pub enum Line<'m, 'a> {
    /// A group that is shown in full.
    Group(&'m ChangeGroup<'a>),
    /// Changes of many tags with the same cause: additions, or removals that are all named below the line.
    Tags {
        /// Whether the tags are removed.
        is_removal: bool,
        /// The cause that they share.
        cause: CauseIndex,
        /// The groups, the largest first.
        groups: Vec<&'m ChangeGroup<'a>>,
    },
    /// The rest, in numbers.
    Rest {
        /// Number of lines in it.
        lines: usize,
        /// Their changes. Devices are not counted, because one may be in several.
        changes: Totals,
    },
}

impl Line<'_, '_> {
    /// Number of changes in the line.
    pub fn changes(&self) -> u64 {
        match self {
            Line::Group(group) => group.changes(),
            Line::Tags { groups, .. } => groups.iter().map(|group| group.changes()).sum(),
            Line::Rest { changes, .. } => changes.changes(),
        }
    }

    /// Adds its changes to a sum, without devices, because one may be in several lines.
    pub fn add_to(&self, sum: &mut Totals) {
        match self {
            Line::Group(ChangeGroup { what: ReportedChange::Value { .. }, .. }) => {
                sum.values += self.changes()
            }
            Line::Group(group @ ChangeGroup { what: ReportedChange::Remove(_), .. }) => {
                sum.removals += group.devices();
                sum.additions += group.gained;
            }
            Line::Tags { is_removal: true, .. } => sum.removals += self.changes(),
            Line::Group(_) | Line::Tags { .. } => sum.additions += self.changes(),
            Line::Rest { changes, .. } => {
                sum.additions += changes.additions;
                sum.removals += changes.removals;
                sum.values += changes.values;
            }
        }
    }

    /// Whether it may be summed up.
    pub fn is_foldable(&self) -> bool {
        match self {
            Line::Group(group) => is_foldable(group),
            Line::Tags { is_removal, .. } => !is_removal,
            Line::Rest { .. } => true,
        }
    }

    /// Failures before successes, large before small.
    pub fn rank(&self) -> (bool, u64) {
        (matches!(self, Line::Group(group) if group.error.is_some()), self.changes())
    }
}

/// A planned removal is always named. Outcomes may be summed up: otherwise a service that words every rejection differently would
/// fill the screen with one line per device.
fn is_foldable(group: &ChangeGroup<'_>) -> bool {
    group.outcome.is_some() || !matches!(group.what, ReportedChange::Remove(_))
}

/// All groups as they are.
pub fn unfolded<'m, 'a>(groups: &'m [ChangeGroup<'a>]) -> Vec<Line<'m, 'a>> {
    groups.iter().map(Line::Group).collect()
}

/// The groups in few lines, of which `most` can be summed up. Keeps the order; the summed-up ones come last.
pub fn folded<'m, 'a>(groups: &'m [ChangeGroup<'a>], most: usize) -> Vec<Line<'m, 'a>> {
    let mut lines: Vec<Line<'m, 'a>> = Vec::new();
    let mut places = hashbrown::HashMap::new();
    for group in groups {
        let additions = match (group.what, group.cause) {
            (ReportedChange::Add(_), Some(cause)) if group.error.is_none() => Some((cause, group.outcome)),
            _ => None,
        };
        let Some((cause, outcome)) = additions else {
            lines.push(Line::Group(group));
            continue;
        };
        let place = *places.entry((cause, outcome)).or_insert_with(|| {
            lines.push(Line::Tags { is_removal: false, cause, groups: Vec::new() });
            lines.len() - 1
        });
        if let Line::Tags { groups, .. } = &mut lines[place] {
            groups.push(group);
        }
    }
    let lines = lines.into_iter().flat_map(|line| match line {
        Line::Tags { groups, .. } if groups.len() <= TAGS_OF_ONE_CAUSE => {
            groups.into_iter().map(Line::Group).collect::<Vec<_>>()
        }
        Line::Tags { is_removal, cause, mut groups } => {
            groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
            vec![Line::Tags { is_removal, cause, groups }]
        }
        other => vec![other],
    });
    sum_up(lines.collect(), most)
}

/// Joins removals with the same cause into one line if there are many, for renderers that name each of them below it.
pub fn gathered<'m, 'a>(lines: Vec<Line<'m, 'a>>) -> Vec<Line<'m, 'a>> {
    let cause_of = |line: &Line<'m, 'a>| match line {
        // A rename shows both of its names.
        Line::Group(group) if !is_foldable(group) && group.gained == 0 => group.cause,
        _ => None,
    };
    let mut counts: hashbrown::HashMap<CauseIndex, usize> = hashbrown::HashMap::new();
    for cause in lines.iter().filter_map(cause_of) {
        *counts.entry(cause).or_default() += 1;
    }
    let mut places: hashbrown::HashMap<CauseIndex, usize> = hashbrown::HashMap::new();
    let mut gathered: Vec<Line<'m, 'a>> = Vec::new();
    for line in lines {
        let cause = cause_of(&line).filter(|cause| counts[cause] > TAGS_OF_ONE_CAUSE);
        let (Some(cause), Line::Group(group)) = (cause, &line) else {
            gathered.push(line);
            continue;
        };
        let place = *places.entry(cause).or_insert_with(|| {
            gathered.push(Line::Tags { is_removal: true, cause, groups: Vec::new() });
            gathered.len() - 1
        });
        if let Line::Tags { groups, .. } = &mut gathered[place] {
            groups.push(group);
        }
    }
    gathered
}

/// Keeps the lines that must be shown and the largest others, and sums up the rest.
fn sum_up<'m, 'a>(lines: Vec<Line<'m, 'a>>, most: usize) -> Vec<Line<'m, 'a>> {
    let mut ranks: Vec<(bool, u64)> =
        lines.iter().filter(|line| line.is_foldable()).map(Line::rank).collect();
    if ranks.len() <= most {
        return lines;
    }
    ranks.sort_unstable_by(|left, right| right.cmp(left));
    let least = ranks[most - 1];
    let mut room = most;
    let mut rest = (0, Totals::default());
    let mut kept = Vec::new();
    for line in lines {
        if !line.is_foldable() || (room > 0 && line.rank() >= least) {
            room -= usize::from(line.is_foldable());
            kept.push(line);
            continue;
        }
        rest.0 += 1;
        line.add_to(&mut rest.1);
    }
    kept.push(Line::Rest { lines: rest.0, changes: rest.1 });
    kept
}
