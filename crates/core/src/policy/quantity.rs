//! Numbers of devices as the guard writes them: exact percentages, and counts or shares.
//!
//! Knows no limit; `limits` does.

/// A percentage, exact to a ten-thousandth of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u64);

impl Percent {
    /// From whole percent.
    pub const fn whole(percent: u64) -> Percent {
        Percent(percent * 10_000)
    }

    /// From a decimal number such as `5` or `7.5`, with or without a `%`; at most four decimals, 0 to 100.
    pub fn parse(text: &str) -> Option<Percent> {
        let text = text.strip_suffix('%').map_or(text, str::trim_end);
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || whole.len() > 3 || fraction.len() > 4 {
            return None;
        }
        let units = whole.parse::<u64>().ok()? * 10_000 + format!("{fraction:0<4}").parse::<u64>().ok()?;
        (units <= 1_000_000).then_some(Percent(units))
    }

    /// `⌊percent × base / 100⌋`.
    pub fn of(self, base: u64) -> u64 {
        (u128::from(self.0) * u128::from(base) / 1_000_000) as u64
    }

    /// Twice the percentage, which may be over 100 %.
    pub(super) fn doubled(self) -> Percent {
        Percent(self.0 * 2)
    }

    /// Ten-thousandths of a percent.
    pub fn units(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for Percent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0 / 10_000)?;
        if !self.0.is_multiple_of(10_000) {
            write!(f, ".{}", format!("{:04}", self.0 % 10_000).trim_end_matches('0'))?;
        }
        f.write_str(" %")
    }
}

/// A count, or a share of the devices in scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A number of devices.
    Count(u64),
    /// A share of the scope. *At least* compares `count × 100 ≥ percent × scope` exactly; *at most* likewise.
    Share(Percent),
}
