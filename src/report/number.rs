//! Numbers as people read them.

/// How a number is written for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// So many significant digits; three and a power of ten where it is very small or large.
    Significant(i32),
    /// So many digits after the point.
    Decimals(usize),
    /// A power of ten, with so many digits after the point.
    Scientific(usize),
    /// A share, in per cent, with so many digits after the point; as many as matter where not given.
    Percent(Option<usize>),
    /// Decibels: two digits after the point.
    Decibels,
    /// Seconds: two digits after the point.
    Seconds,
    /// A dash: the number is for programs only.
    Hidden,
}

impl Format {
    /// Writes `x`. What is rounded to zero has no sign.
    ///
    /// ```
    /// use deconvnet::report::Format;
    ///
    /// assert_eq!(Format::Significant(3).write(0.012345), "0.0123");
    /// assert_eq!(Format::Percent(None).write(0.3549), "35.5 %");
    /// ```
    pub fn write(self, x: f64) -> String {
        match self {
            Self::Significant(digits) => significant(x, digits),
            Self::Decimals(digits) => decimals(x, digits),
            Self::Scientific(digits) => format!("{x:.digits$e}"),
            Self::Percent(Some(digits)) => decimals(100.0 * x, digits) + " %",
            Self::Percent(None) => match 100.0 * x {
                0.0 => "0 %".into(),
                p if p < 0.001 => "< 0.001 %".into(),
                p if p < 1.0 => format!("{p:.3} %"),
                p => format!("{p:.1} %"),
            },
            Self::Decibels | Self::Seconds => decimals(x, 2),
            Self::Hidden => "-".into(),
        }
    }
}

fn decimals(x: f64, digits: usize) -> String {
    let text = format!("{x:.digits$}");
    match text.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| c == '0' || c == '.') => zero.into(),
        _ => text,
    }
}

fn significant(x: f64, digits: i32) -> String {
    if x == 0.0 {
        return "0".into();
    }
    let plain = -(digits + 1) / 2..digits.max(4);
    match x.abs().log10().floor() as i32 {
        power if x.is_finite() && plain.contains(&power) => {
            format!("{x:.*}", (digits - 1 - power).max(0) as usize)
        }
        _ => format!("{x:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        let written = |format: Format, numbers: &[f64]| {
            let written = numbers.iter().map(|&x| format.write(x));
            written.collect::<Vec<_>>().join(", ")
        };
        let numbers = [0.0, 284.9131, 12.0, 0.00123456789, 1e-5, 1e7, f64::NAN];
        let expected = "0, 284.913, 12.0000, 0.00123457, 1.00e-5, 1.00e7, NaN";
        assert_eq!(written(Format::Significant(6), &numbers), expected);
        let numbers = [0.0, 1.0, 0.0123, 12.34, 1234.5, 45600.0, 1.2e-9];
        let expected = "0, 1.00, 0.0123, 12.3, 1234, 4.56e4, 1.20e-9";
        assert_eq!(written(Format::Significant(3), &numbers), expected);
        let shares = written(Format::Percent(None), &[0.0, 1e-7, 0.00123, 0.3549, 3.0]);
        assert_eq!(shares, "0 %, < 0.001 %, 0.123 %, 35.5 %, 300.0 %");
        assert_eq!(Format::Percent(Some(2)).write(0.3), "30.00 %");
        assert_eq!(written(Format::Decibels, &[-0.0001, -1.0]), "0.00, -1.00");
        assert_eq!(Format::Scientific(1).write(0.00012), "1.2e-4");
        assert_eq!(Format::Hidden.write(0.0), "-");
    }
}
