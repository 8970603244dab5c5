//! Seeded numbers for the fleet, the faults and the shuffles: the same seed gives the same tenant on every machine.
//!
//! Not for secrets: the operating system's generator makes those.

use mdetag_vocabulary::random::SeededNumbers;

#[derive(Clone, Debug)]
pub(super) struct Random(SeededNumbers);

impl Random {
    /// Each seed gives a different sequence.
    pub(super) fn new(seed: u64) -> Random {
        Random(SeededNumbers::new(seed))
    }

    /// The sequence of row `row`: rows can be made in any order, on any number of cores.
    pub(super) fn for_row(seed: u64, row: u64) -> Random {
        let mut random = Random::new(seed.rotate_left(32) ^ row.wrapping_mul(0xA24B_AED4_963E_E407));
        random.next();
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.number()
    }

    /// A number below `bound`; 0 where `bound` is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// True in `per_mille` of a thousand cases.
    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// One of the choices. There must be at least one.
    pub(super) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Shuffles a list in an order that depends only on the seed.
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// A number from a text, for decisions that must not depend on the order of calls.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}
