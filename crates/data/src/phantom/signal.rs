//! From tissue to signal: relaxation times at 3 tesla and the equations of the four sequences.
//!
//! Spin echo: S = PD (1 - e^(-TR/T1)) e^(-TE/T2). Inversion recovery: S = PD |1 - 2 e^(-TI/T1) + e^(-TR/T1)|
//! e^(-TE/T2). (Haacke et al., Magnetic Resonance Imaging, 2014, chapters 8 and 26.) Times of healthy tissue
//! follow Stanisz et al. 2005 and Wansapura et al. 1999, rounded; those of tumours are typical of reviews.

use synthmr_core::random::Draw;

/// What a voxel can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tissue {
    Csf,
    Cortex,
    White,
    /// Caudate, putamen, thalamus.
    DeepGrey,
    Oedema,
    Necrosis,
    Enhancing,
    /// Core of a tumour that takes up no contrast agent.
    Solid,
    /// Venous sinuses and choroid plexus.
    Vessel,
}

pub(super) const TISSUES: usize = 9;

/// (T1 in ms, T2 in ms, proton density), in the order of [`Tissue`].
const RELAXATION: [(f64, f64, f64); TISSUES] = [
    (4200.0, 1800.0, 1.00),
    (1350.0, 95.0, 0.82),
    (840.0, 70.0, 0.70),
    (1130.0, 80.0, 0.78),
    (1500.0, 150.0, 0.86),
    (3200.0, 330.0, 0.94),
    (1350.0, 115.0, 0.83),
    (1750.0, 190.0, 0.88),
    (1900.0, 60.0, 0.80),
];

/// T1 of enhancing tumour after the contrast agent, ms.
const ENHANCED_T1_MS: f64 = 480.0;

/// T1 of blood after the contrast agent, ms.
const BLOOD_T1_MS: f64 = 380.0;

/// T1 of cortex after the agent (its vessels), as a share of the time before.
const PERFUSED_SHARE: f64 = 0.93;

/// The contrasts in the order of the cohort's channels.
pub(super) const CONTRASTS: usize = 4;

/// One sequence with its times in ms; without an inversion it is a spin echo.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    repetition: f64,
    echo: f64,
    inversion: Option<f64>,
}

impl Sequence {
    fn signal(&self, (t1, t2, density): (f64, f64, f64)) -> f64 {
        let recovery = match self.inversion {
            Some(inversion) => (1.0 - 2.0 * (-inversion / t1).exp() + (-self.repetition / t1).exp()).abs(),
            None => 1.0 - (-self.repetition / t1).exp(),
        };
        density * recovery * (-self.echo / t2).exp()
    }
}

/// Signal of every tissue in every contrast (T1, T1ce, T2, FLAIR) on one scanner, white matter at T1 = 1.
pub(super) type Signals = [[f64; TISSUES]; CONTRASTS];

/// Draws a scanner's protocol and returns its signals. Hospitals differ by several percent in their times.
pub(super) fn draw_protocol(random: &mut impl Draw) -> Signals {
    let mut about = |value: f64| value * (1.0 + 0.06 * random.uniform_in(-1.0, 1.0));
    let t1 = Sequence { repetition: about(600.0), echo: about(12.0), inversion: None };
    let t2 = Sequence { repetition: about(4500.0), echo: about(92.0), inversion: None };
    let flair = Sequence { repetition: 9000.0, echo: about(105.0), inversion: Some(2480.0) };
    // Patients' tissue varies as well; enhancement depends on dose and delay.
    let mut relaxation = RELAXATION;
    for (t1, t2, _) in relaxation.iter_mut() {
        *t1 *= 1.0 + 0.03 * random.uniform_in(-1.0, 1.0);
        *t2 *= 1.0 + 0.04 * random.uniform_in(-1.0, 1.0);
    }
    let mut after_agent = relaxation;
    after_agent[Tissue::Enhancing as usize].0 = ENHANCED_T1_MS * random.uniform_in(0.85, 1.2);
    after_agent[Tissue::Vessel as usize].0 = BLOOD_T1_MS;
    after_agent[Tissue::Cortex as usize].0 *= PERFUSED_SHARE;
    let signals = [
        relaxation.map(|times| t1.signal(times)),
        after_agent.map(|times| t1.signal(times)),
        relaxation.map(|times| t2.signal(times)),
        relaxation.map(|times| flair.signal(times)),
    ];
    let unit = signals[0][Tissue::White as usize];
    signals.map(|contrast| contrast.map(|signal| signal / unit))
}

#[cfg(test)]
mod tests {
    use synthmr_core::random::{Stream, rng};

    use super::*;

    #[test]
    fn every_scanner_shows_the_contrasts_that_radiologists_know() {
        for subject in 0..200 {
            let signals = draw_protocol(&mut rng(1, Stream::Test, subject));
            let [t1, t1ce, t2, flair] = signals;
            let of = |contrast: [f64; TISSUES], tissue: Tissue| contrast[tissue as usize];
            use Tissue::{Cortex, Csf, Enhancing, Necrosis, Oedema, Solid, Vessel, White};
            assert!(of(t1, White) > 1.05 * of(t1, Cortex) && of(t1, Cortex) > 1.5 * of(t1, Csf));
            assert!(of(t1ce, Enhancing) > 1.3 * of(t1ce, White) && of(t1, Enhancing) < of(t1, White));
            assert!(of(t1ce, Necrosis) < 0.7 * of(t1ce, White));
            assert!(of(t1ce, Vessel) > 1.3 * of(t1ce, White) && of(t1, Vessel) < of(t1, Cortex));
            assert!(of(t2, Csf) > of(t2, Oedema) && of(t2, Oedema) > of(t2, Cortex));
            assert!(of(t2, Cortex) > of(t2, White));
            assert!(of(flair, Oedema) > 1.2 * of(flair, Cortex) && of(flair, Csf) < 0.5 * of(flair, White));
            assert!(of(flair, Solid) > of(flair, Cortex));
        }
    }
}
