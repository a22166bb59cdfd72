//! What the benchmarks share: a broker, the readings, contenders in processes of their own, medians.

pub mod bed;
pub mod distance;
pub mod idle;
pub mod measure;
pub mod race;
pub mod readings;
pub mod rows;
pub mod setting;
pub mod worker;

/// The middle of the figures; of an even number the lower of the two. There must be one.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() - 1) / 2]
}

/// The order of a round: every other one backwards, because the machine's pace drifts.
pub fn in_turn<T>(round: usize, all: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = all.into_iter().collect();
    if round.is_multiple_of(2) {
        all.reverse();
    }
    all
}

/// The figure that so many of a hundred do not exceed, of sorted figures. There must be one.
pub fn percentile(sorted: &[f64], of_hundred: f64) -> f64 {
    let rank = (sorted.len() as f64 * of_hundred / 100.0).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_in_the_middle_and_at_the_edge() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(in_turn(1, [1, 2, 3]), [1, 2, 3]);
        assert_eq!(in_turn(2, [1, 2, 3]), [3, 2, 1]);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50.0), 50.0);
        assert_eq!(percentile(&hundred, 99.0), 99.0);
        assert_eq!(percentile(&hundred, 99.9), 100.0);
        assert_eq!(percentile(&[7.0], 50.0), 7.0);
    }
}
