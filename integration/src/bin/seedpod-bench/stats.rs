//! Samples and what is said about them.

use std::time::Duration;

/// Measured values of one kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub(crate) fn push_ms(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1e3);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value below which the fraction `q` of the samples lies, interpolated between neighbours.
    /// NaN when there are no samples.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let Some(last) = sorted.len().checked_sub(1) else {
            return f64::NAN;
        };
        let position = q.clamp(0.0, 1.0) * last as f64;
        let below = (0..=last)
            .rev()
            .find(|index| *index as f64 <= position)
            .unwrap_or(0);
        let above = (below + 1).min(last);
        let weight = position - below as f64;
        sorted[below] * (1.0 - weight) + sorted[above] * weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated_whatever_the_order_of_the_samples() {
        let samples = Samples(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 1e-9;
        assert!(near(samples.median(), 3.0));
        assert!(near(samples.quantile(0.0), 1.0));
        assert!(near(samples.quantile(1.0), 5.0));
        assert!(near(samples.quantile(0.9), 4.6));
    }

    #[test]
    fn no_samples_have_no_median() {
        assert!(Samples::default().median().is_nan());
    }
}
