//! Small selectors that might fit a tag: one field's value or prefix, a few values of one field, two conditions together.
//!
//! Counts only; whether a fit is good enough is for the caller.

use std::collections::BTreeMap;

use crate::device::Field;
use crate::inventory::{DeviceSet, Row, Snapshot};
use crate::text;

use super::write::scalar;

/// Fields whose values are worth a condition, the most telling first.
const FIELDS: [Field; 9] = [
    Field::OsPlatform,
    Field::Domain,
    Field::VmSubscriptionId,
    Field::RbacGroupName,
    Field::OnboardingStatus,
    Field::ManagedBy,
    Field::Version,
    Field::OsArchitecture,
    Field::HealthStatus,
];

/// Values beyond this many of one field say little about a group of devices.
const MOST_VALUES: usize = 400;

/// How many single conditions are tried in pairs.
const PAIRED: usize = 12;

/// The most values in one `in` list: longer lists are no selector that a person would write.
const LONGEST_LIST: usize = 8;

/// One condition on one field and the devices in scope for which it holds.
struct Atom {
    field: Field,
    condition: Condition,
    devices: DeviceSet,
    count: usize,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Condition {
    Equals(String),
    StartsWith(String),
}

/// All conditions, and for each device those that hold.
pub(super) struct Candidates {
    atoms: Vec<Atom>,
    holding: Vec<Vec<u32>>,
}

/// How well a selector fits a set of devices.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    /// As YAML in flow style.
    pub(super) selector: String,
    hits: usize,
    selected: usize,
    wanted: usize,
}

impl Fit {
    pub(super) fn precision(&self) -> f64 {
        self.hits as f64 / self.selected.max(1) as f64
    }

    pub(super) fn recall(&self) -> f64 {
        self.hits as f64 / self.wanted.max(1) as f64
    }

    pub(super) fn is_exact(&self) -> bool {
        self.hits == self.selected && self.hits == self.wanted
    }

    /// The harmonic mean of precision and recall.
    fn score(&self) -> f64 {
        2.0 * self.hits as f64 / (self.selected + self.wanted).max(1) as f64
    }
}

impl Candidates {
    pub(super) fn new(snapshot: &Snapshot, scope: &DeviceSet) -> Candidates {
        let mut sets: BTreeMap<(usize, Condition), Vec<Row>> = BTreeMap::new();
        for (order, field) in FIELDS.into_iter().enumerate() {
            for row in scope.iter() {
                let Some(value) = snapshot.text(field, row) else { continue };
                sets.entry((order, Condition::Equals(value.into_owned()))).or_default().push(row);
            }
        }
        for row in scope.iter() {
            for (order, field) in [(0, Field::OsPlatform), (FIELDS.len(), Field::DeviceName)] {
                let stem = snapshot.text(field, row).and_then(|value| letters_before_a_digit(&value));
                let Some(stem) = stem else { continue };
                sets.entry((order, Condition::StartsWith(stem))).or_default().push(row);
            }
        }
        let mut per_field: BTreeMap<usize, Vec<(Condition, Vec<Row>)>> = BTreeMap::new();
        for ((order, condition), rows) in sets {
            per_field.entry(order).or_default().push((condition, rows));
        }
        let mut atoms = Vec::new();
        let mut holding = vec![Vec::new(); snapshot.len()];
        for (order, mut conditions) in per_field {
            conditions
                .sort_by(|left, right| right.1.len().cmp(&left.1.len()).then_with(|| left.0.cmp(&right.0)));
            for (condition, rows) in conditions.into_iter().take(MOST_VALUES) {
                for row in &rows {
                    holding[row.index()].push(atoms.len() as u32);
                }
                let field = FIELDS.get(order).copied().unwrap_or(Field::DeviceName);
                let count = rows.len();
                atoms.push(Atom { field, condition, devices: DeviceSet::of(snapshot.len(), rows), count });
            }
        }
        Candidates { atoms, holding }
    }

    /// The best small selector for these devices: the best score, and of equal ones the shortest.
    pub(super) fn best(&self, wanted: &[Row]) -> Option<Fit> {
        let mut hits: BTreeMap<u32, usize> = BTreeMap::new();
        for row in wanted {
            for atom in &self.holding[row.index()] {
                *hits.entry(*atom).or_default() += 1;
            }
        }
        let mut singles: Vec<(u32, Fit)> =
            hits.iter().map(|(atom, hits)| (*atom, self.single(*atom, *hits, wanted))).collect();
        singles.sort_by(|left, right| better(&left.1, &right.1));
        let mut fits: Vec<Fit> = singles.iter().take(1).map(|(_, fit)| fit.clone()).collect();
        fits.extend(self.lists(&hits, wanted));
        let set = DeviceSet::of(self.holding.len(), wanted.iter().copied());
        let leading: Vec<u32> = singles.iter().take(PAIRED).map(|(atom, _)| *atom).collect();
        for (index, one) in leading.iter().enumerate() {
            for other in &leading[index + 1..] {
                fits.extend(self.pair(*one, *other, &set, wanted.len()));
            }
        }
        fits.into_iter().min_by(better)
    }

    fn single(&self, atom: u32, hits: usize, wanted: &[Row]) -> Fit {
        let atom = &self.atoms[atom as usize];
        let selector = format!("{{ {} }}", entry(atom.field, std::slice::from_ref(&&atom.condition)));
        Fit { selector, hits, selected: atom.count, wanted: wanted.len() }
    }

    /// For each field: the values that only wanted devices have, together.
    fn lists(&self, hits: &BTreeMap<u32, usize>, wanted: &[Row]) -> Vec<Fit> {
        let mut pure: BTreeMap<Field, Vec<u32>> = BTreeMap::new();
        for (atom, count) in hits {
            let known = &self.atoms[*atom as usize];
            if *count == known.count && matches!(known.condition, Condition::Equals(_)) {
                pure.entry(known.field).or_default().push(*atom);
            }
        }
        let lists = pure.into_iter().filter(|(_, atoms)| (2..=LONGEST_LIST).contains(&atoms.len()));
        lists
            .map(|(field, atoms)| {
                let selected = atoms.iter().map(|atom| self.atoms[*atom as usize].count).sum();
                let conditions: Vec<&Condition> =
                    atoms.iter().map(|atom| &self.atoms[*atom as usize].condition).collect();
                let selector = format!("{{ {} }}", entry(field, &conditions));
                Fit { selector, hits: selected, selected, wanted: wanted.len() }
            })
            .collect()
    }

    fn pair(&self, one: u32, other: u32, wanted: &DeviceSet, count: usize) -> Option<Fit> {
        let (one, other) = (&self.atoms[one as usize], &self.atoms[other as usize]);
        if one.field == other.field {
            return None;
        }
        let mut both = one.devices.clone();
        both.intersect_with(&other.devices);
        let (first, second) = (entry(one.field, &[&one.condition]), entry(other.field, &[&other.condition]));
        let selector = format!("{{ {first}, {second} }}");
        Some(Fit { selector, hits: both.count_common(wanted), selected: both.count(), wanted: count })
    }
}

/// Better first.
fn better(left: &Fit, right: &Fit) -> std::cmp::Ordering {
    let score = right.score().total_cmp(&left.score());
    score
        .then_with(|| left.selector.len().cmp(&right.selector.len()))
        .then_with(|| left.selector.cmp(&right.selector))
}

/// `osPlatform: Ubuntu`, `osPlatform: [CentOS, Ubuntu]`, `deviceName: { startsWith: dc }`.
fn entry(field: Field, conditions: &[&Condition]) -> String {
    let condition = match conditions {
        [Condition::StartsWith(stem)] => format!("{{ startsWith: {} }}", scalar(stem)),
        [Condition::Equals(value)] => scalar(value),
        several => {
            let values = several.iter().map(|condition| match condition {
                Condition::Equals(value) | Condition::StartsWith(value) => scalar(value),
            });
            format!("[{}]", values.collect::<Vec<_>>().join(", "))
        }
    };
    format!("{}: {condition}", field.name())
}

/// The stem that names of one kind share: `dc` of `DC01`, `WindowsServer` of `WindowsServer2022`; two letters at least.
fn letters_before_a_digit(text: &str) -> Option<String> {
    let end = text.find(|scalar: char| scalar.is_ascii_digit()).filter(|end| *end < text.len())?;
    let stem = text[..end].trim_end_matches('-');
    (stem.chars().count() >= 2).then(|| text::fold(stem).into_owned())
}
