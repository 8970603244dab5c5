//! The waves of a plan in one sentence, for all renderers.
//!
//! The run's notes report the result of a wave.

use super::model::Model;
use super::words::{counted, number};

/// Waves that are listed before the rest becomes a number.
const SHOWN: usize = 8;

/// `In 3 waves: 25 devices (2 calls) · 295 devices (3 calls) · …`; `None` if everything is written at once.
pub(super) fn sentence(model: &Model<'_>) -> Option<String> {
    let waves = &model.plan().rollout.as_ref()?.waves;
    let one = |wave: &crate::plan::PlannedWave| {
        format!("wave {}: {} ({})", wave.wave, counted(wave.devices, "device"), counted(wave.calls, "call"))
    };
    let mut parts: Vec<String> = waves.iter().take(SHOWN).map(one).collect();
    if waves.len() > SHOWN {
        parts.push(format!("… {} more", number((waves.len() - SHOWN) as u64)));
    }
    Some(format!("in {}: {}", counted(waves.len() as u64, "wave"), parts.join(" · ")))
}

#[cfg(test)]
mod tests {
    use crate::plan::{Plan, PlannedWave, PlannedWaves};
    use crate::report::model::{Input, Subject};

    use super::*;

    #[test]
    fn waves_are_listed_with_their_devices_and_calls() {
        let wave = |wave, devices, calls| PlannedWave { wave, devices, calls };
        let waves = vec![wave(1, 25, 1), wave(2, 1_475, 4)];
        let plan = Plan { rollout: Some(PlannedWaves { waves, of: Vec::new() }), ..Plan::default() };
        let model = Model::new(Input::new(Subject::Plan, &plan));
        let text = sentence(&model).unwrap();
        assert_eq!(text, "in 2 waves: wave 1: 25 devices (1 call) · wave 2: 1,475 devices (4 calls)");
        assert_eq!(sentence(&Model::new(Input::new(Subject::Plan, &Plan::default()))), None);
    }
}
