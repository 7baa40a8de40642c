//! The scale of one axis: its range, where its ticks stand and what they are called.

/// Beyond this magnitude the difference of two values might overflow; no plot needs it.
const LARGEST: f64 = 1e300;

/// A linear or logarithmic axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    log: bool,
    /// The ends; exponents of ten where the axis is logarithmic.
    low: f64,
    high: f64,
    /// Values with what stands beside them.
    pub(super) ticks: Vec<(f64, String)>,
    /// Values between them, for faint lines.
    pub(super) minor: Vec<f64>,
}

impl Axis {
    /// An axis over those of `values` that it can [show](Self::shows), with some room at both ends
    /// and not many more than `count` ticks. Where there is no range to cover one is made up.
    pub(super) fn covering(values: impl Iterator<Item = f64>, log: bool, count: usize) -> Self {
        let along = |v: f64| if log { v.log10() } else { v };
        let (low, high) = values
            .filter(|&v| Self::shows(log, v))
            .map(along)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
                (low.min(v), high.max(v))
            });
        let size = low.abs().max(high.abs());
        let (low, high) = if low > high {
            (0.0, 1.0)
        } else if high - low <= (1e-12 * size).max(1e-290) {
            let room = match (log, size) {
                (true, _) => 0.5,
                (false, 0.0) => 1.0,
                (false, _) => 0.1 * size,
            };
            (low - room, high + room)
        } else {
            let room = 0.03 * (high - low);
            (low - room, high + room)
        };
        let (ticks, minor) = match log {
            false => (linear_ticks(low, high, count), Vec::new()),
            true => log_ticks(low, high, count),
        };
        Self {
            log,
            low,
            high,
            ticks,
            minor,
        }
    }

    /// Whether `v` has a place on such an axis: finite, and above 0 on a logarithmic one.
    pub(super) fn shows(log: bool, v: f64) -> bool {
        v.abs() < LARGEST && (!log || v > 0.0)
    }

    /// Where `v` lies: 0 at the lower end, 1 at the upper one.
    pub(super) fn place(&self, v: f64) -> f32 {
        let along = if self.log { v.log10() } else { v };
        ((along - self.low) / (self.high - self.low)) as f32
    }
}

/// Multiples of 1, 2 or 5 times a power of ten between `low` and `high`.
fn linear_ticks(low: f64, high: f64, count: usize) -> Vec<(f64, String)> {
    let least = (high - low) / count as f64;
    let power = 10_f64.powf(least.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let step = factors
        .map(|f| f * power)
        .into_iter()
        .find(|step| *step >= 0.999 * least);
    let step = step.unwrap_or(least);
    let fine = (step.log10() + 1e-9).floor() as i32;
    let size = low.abs().max(high.abs()).log10().floor() as i32;
    // Numbers with many digits share one power of ten.
    let shared = if size >= 6 || fine < -4 { size } else { 0 };
    let decimals = (shared - fine).max(0) as usize;
    let first = (low / step).ceil();
    (0..=2 * count)
        .map(|i| (first + i as f64) * step)
        .take_while(|v| *v <= high)
        .map(|v| {
            let digits = format!("{:.decimals$}", v / 10_f64.powi(shared)).replace('-', "−");
            match shared {
                _ if v.abs() < 1e-9 * step => (0.0, "0".to_owned()),
                0 => (v, digits),
                _ => (v, format!("{digits}×{}", power_of_ten(shared))),
            }
        })
        .collect()
}

/// Ticks and lines between them from `10^low` to `10^high`: powers of ten where there is more than
/// one, fractions of them otherwise.
fn log_ticks(low: f64, high: f64, count: usize) -> (Vec<(f64, String)>, Vec<f64>) {
    let decades = high - low;
    if decades < 0.6 {
        return (
            linear_ticks(10_f64.powf(low), 10_f64.powf(high), count),
            Vec::new(),
        );
    }
    let (first, last) = (low.floor() as i32, high.ceil() as i32);
    let inside = |v: &f64| (low..=high).contains(&v.log10());
    let multiples = |mantissas: &'static [u8]| {
        (first..=last)
            .flat_map(move |e| mantissas.iter().map(move |m| (*m, e)))
            .map(|(m, e)| (f64::from(m) * 10_f64.powi(e), m, e))
            .filter(move |(v, _, _)| inside(v))
    };
    // Small powers read better written out, but not among large ones.
    let plain = first >= -3 && last <= 4;
    let label = |m: u8, e: i32| match m {
        _ if plain => format!("{:.*}", (-e).max(0) as usize, f64::from(m) * 10_f64.powi(e)),
        1 => power_of_ten(e),
        _ => format!("{m}×{}", power_of_ten(e)),
    };
    let mantissas: &[u8] = if decades < 1.5 { &[1, 2, 5] } else { &[1] };
    let every = (decades / count as f64).ceil() as i32;
    let ticks = multiples(mantissas)
        .filter(|(_, _, e)| e.rem_euclid(every) == 0)
        .map(|(v, m, e)| (v, label(m, e)))
        .collect();
    let minor = match every {
        1 => multiples(&[2, 3, 4, 5, 6, 7, 8, 9])
            .map(|(v, _, _)| v)
            .collect(),
        _ => multiples(&[1]).map(|(v, _, _)| v).collect(),
    };
    (ticks, minor)
}

/// "10⁻³" for -3.
fn power_of_ten(exponent: i32) -> String {
    let raised = exponent.to_string().chars().map(raise).collect::<String>();
    format!("10{raised}")
}

fn raise(digit: char) -> char {
    match digit {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        _ => digit
            .to_digit(10)
            .and_then(|d| char::from_u32(0x2070 + d))
            .unwrap_or(digit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(values: &[f64], log: bool) -> Axis {
        Axis::covering(values.iter().copied(), log, 6)
    }

    fn labels(values: &[f64], log: bool) -> Vec<String> {
        let ticks = axis(values, log).ticks.into_iter();
        ticks.map(|(_, label)| label).collect()
    }

    #[test]
    fn linear_labels_have_the_digits_they_need() {
        let linear = |values: &[f64]| labels(values, false).join(" ");
        assert_eq!(linear(&[0.0, 100.0]), "0 20 40 60 80 100");
        assert_eq!(linear(&[-0.4, 0.4]), "−0.4 −0.2 0 0.2 0.4");
        assert_eq!(labels(&[0.0, 2e6], false)[1], "0.5×10⁶");
        assert_eq!(labels(&[1e-6, 3e-6], false)[0], "1.0×10⁻⁶");
    }

    #[test]
    fn log_labels_are_powers_of_ten() {
        let logs = |values: &[f64]| labels(values, true).join(" ");
        assert_eq!(logs(&[1e-5, 1.0]), "10⁻⁵ 10⁻⁴ 10⁻³ 10⁻² 10⁻¹ 10⁰");
        assert_eq!(logs(&[1.0, 1000.0]), "1 10 100 1000");
        assert_eq!(labels(&[1e-12, 1.0], true)[1], "10⁻⁹");
        assert_eq!(logs(&[1.0, 10.0]), "1 2 5 10");
        assert_eq!(logs(&[100.0, 200.0]), "100 120 140 160 180 200");
    }

    #[test]
    fn every_range_has_ticks_inside_of_it() {
        let cases: [&[f64]; 9] = [
            &[],
            &[0.0],
            &[7.0, 7.0],
            &[-3.0],
            &[1.0, 1.0 + 1e-15],
            &[f64::NAN, f64::INFINITY, 2.0],
            &[-1e299, 1e299],
            &[1e-300, 1e299],
            &[3.1e-5, 3.2e-5],
        ];
        for (values, log) in cases.iter().flat_map(|v| [(v, false), (v, true)]) {
            let axis = axis(values, log);
            assert!((1..=14).contains(&axis.ticks.len()), "{values:?} {axis:?}");
            for (v, label) in &axis.ticks {
                assert!((0.0..=1.0).contains(&axis.place(*v)) && !label.is_empty());
            }
        }
    }

    #[test]
    fn values_are_mapped_in_order() {
        for log in [false, true] {
            let axis = axis(&[1.0, 10.0, 100.0], log);
            let at = [1.0, 10.0, 100.0].map(|v| axis.place(v));
            assert!(0.0 < at[0] && at[0] < at[1] && at[1] < at[2] && at[2] < 1.0);
            assert_eq!(log, (at[1] - 0.5).abs() < 1e-6);
        }
    }
}
