//! Estimates the uncertainty of the mean of posts that depend on each other.
//!
//! People answer each other and repeat what they have said, so 100 posts say less than 100 independent ones. Two estimates
//! of the variance of the mean take that into account, and the wider interval counts:
//!
//! - by clusters: posts of one conversation or author are one cluster (Liang and Zeger 1986; Cameron and Miller 2015);
//! - by time: posts that are close in time may be a conversation although no source says so. The mean square of the first
//!   cosine transforms of the scores in order of time estimates their long-run variance (equal-weighted cosine estimator;
//!   Lazarus, Lewis, Stock and Watson 2018).

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};
use utoipa::ToSchema;

pub(super) const HIGH_TAIL: f64 = 0.975;
/// With fewer clusters there is no interval.
const MIN_CLUSTERS: f64 = 5.0;
/// With fewer the interval by time has nearly no degrees of freedom.
const MIN_TRANSFORMS: f64 = 2.0;

/// A 95% confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Interval {
    #[schema(example = 0.08)]
    pub low: f64,
    #[schema(example = 0.25)]
    pub high: f64,
}

/// Why a mean has no interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// There are fewer than five clusters.
    TooFew,
    /// All scores are equal, so their spread is unknown.
    AllEqual,
}

/// The uncertainty of a mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Uncertainty {
    /// The 95% confidence interval, cut at -1 and 1.
    pub interval: Result<Interval, Unknown>,
    /// The number of independent posts whose mean would be as uncertain; at most their number.
    pub effective_size: f64,
}

/// Numbers the cluster of each post. Two posts are in one cluster if they have the same author or the same conversation,
/// also by way of other posts. Takes the author and the conversation of each post.
pub fn clusters(posts: impl Iterator<Item = (i64, Option<i64>)>) -> Vec<usize> {
    let mut of = Vec::new();
    let mut first_with = HashMap::new();
    for (author, thread) in posts {
        let own = of.len();
        of.push(own);
        for link in [Some((true, author)), thread.map(|thread| (false, thread))].into_iter().flatten() {
            let (one, other) = (of[own], of[*first_with.entry(link).or_insert(own)]);
            for cluster in of.iter_mut().filter(|cluster| **cluster == one.max(other)) {
                *cluster = one.min(other);
            }
        }
    }
    of
}

/// Estimates the uncertainty of the mean of scores, which are in order of time; `clusters` has the cluster of each.
pub fn uncertainty(scores: &[f64], clusters: &[usize]) -> Uncertainty {
    let n = size(scores.len());
    let mean = scores.iter().sum::<f64>() / n;
    let deviations: Vec<f64> = scores.iter().map(|score| score - mean).collect();
    let mut sums = BTreeMap::<usize, (f64, f64)>::new();
    for (cluster, deviation) in clusters.iter().zip(&deviations) {
        let (posts, sum) = sums.entry(*cluster).or_default();
        *posts += 1.0;
        *sum += deviation;
    }
    // Clusters of unequal size count for less (Kish 1965).
    let effective_clusters = n * n / sums.values().map(|(posts, _)| posts * posts).sum::<f64>();
    let unknown = |reason| Uncertainty {
        interval: Err(reason),
        effective_size: if scores.is_empty() { 0.0 } else { effective_clusters },
    };
    if effective_clusters.is_nan() || effective_clusters < MIN_CLUSTERS - 1e-9 {
        return unknown(Unknown::TooFew);
    }
    if scores.iter().all(|score| score.to_bits() == scores[0].to_bits()) {
        return unknown(Unknown::AllEqual);
    }
    let count = size(sums.len());
    let squares = sums.values().map(|(_, sum)| sum * sum).sum::<f64>();
    let by_cluster = count / (count - 1.0) * squares / (n * n);
    let transforms = transforms(n);
    let by_time = long_run_variance(&deviations, transforms) / n;
    let half = half_width(by_cluster, effective_clusters - 1.0).max(half_width(by_time, transforms));
    let independent = deviations.iter().map(|deviation| deviation * deviation).sum::<f64>() / (n - 1.0) / n;
    Uncertainty {
        interval: Ok(around(mean, half)),
        effective_size: n * (independent / by_cluster.max(by_time)).min(1.0),
    }
}

/// Returns the mean of all posts of these groups, with its interval by cluster: each group is one. Takes the number of posts
/// and the mean score of each group; None without posts.
pub fn mean_of_groups(groups: &[(f64, f64)]) -> Option<(f64, Result<Interval, Unknown>)> {
    let posts: f64 = groups.iter().map(|(posts, _)| posts).sum();
    if posts <= 0.0 {
        return None;
    }
    let mean = groups.iter().map(|(posts, mean)| posts * mean).sum::<f64>() / posts;
    let effective_groups = posts * posts / groups.iter().map(|(posts, _)| posts * posts).sum::<f64>();
    if effective_groups < MIN_CLUSTERS - 1e-9 {
        return Some((mean, Err(Unknown::TooFew)));
    }
    if groups.iter().all(|(_, of_group)| of_group.to_bits() == groups[0].1.to_bits()) {
        return Some((mean, Err(Unknown::AllEqual)));
    }
    let count = size(groups.len());
    let squares = groups.iter().map(|(posts, of_group)| (posts * (of_group - mean)).powi(2)).sum::<f64>();
    let variance = count / (count - 1.0) * squares / (posts * posts);
    Some((mean, Ok(around(mean, half_width(variance, effective_groups - 1.0)))))
}

/// Half of the width of a 95% interval.
fn half_width(variance: f64, freedom: f64) -> f64 {
    let student = StudentsT::new(0.0, 1.0, freedom).expect("at least one degree of freedom");
    student.inverse_cdf(HIGH_TAIL) * variance.sqrt()
}

/// The interval around the mean of scores, which are from -1 to 1.
fn around(mean: f64, half: f64) -> Interval {
    Interval { low: (mean - half).max(-1.0), high: (mean + half).min(1.0) }
}

/// The number of cosine transforms for so many posts, which is also the degrees of freedom: `0.4 n^(2/3)`, after Lazarus
/// et al. More of them are blind to long conversations, fewer give wider intervals.
fn transforms(n: f64) -> f64 {
    (0.4 * n.powf(2.0 / 3.0)).round().max(MIN_TRANSFORMS)
}

fn long_run_variance(deviations: &[f64], transforms: f64) -> f64 {
    let n = size(deviations.len());
    let mut sum = 0.0;
    let mut transform = 1.0;
    while transform <= transforms {
        let cosine = |place: usize| (std::f64::consts::PI * transform * (size(place) + 0.5) / n).cos();
        let projected: f64 =
            deviations.iter().enumerate().map(|(place, deviation)| deviation * cosine(place)).sum();
        sum += projected * projected * 2.0 / n;
        transform += 1.0;
    }
    sum / transforms
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(super) fn size(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use statrs::distribution::Normal;

    use super::*;

    const RUNS: usize = 2000;
    /// The mean of [`score`] over its distribution: 16% negative, 40% zero, 44% positive.
    const MEAN: f64 = 0.151;

    /// A score like VADER's for a standard normal variable: 40% are exactly 0.
    fn score(latent: f64) -> f64 {
        let share = Normal::standard().cdf(latent);
        if share < 0.16 {
            -0.85 + share / 0.16 * 0.7
        } else if share < 0.56 {
            0.0
        } else {
            0.15 + (share - 0.56) / 0.44 * 0.75
        }
    }

    /// A standard normal variable, after Box and Muller.
    fn normal(random: &mut fastrand::Rng) -> f64 {
        let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * random.f64()).cos()
    }

    /// Scores in order of time, of conversations of five in which opinions are alike; the first is cut anywhere.
    fn conversations(random: &mut fastrand::Rng, n: usize, alike: f64) -> (Vec<f64>, Vec<usize>) {
        let cut = random.usize(0..5);
        let mut shared = normal(random);
        let mut scores = Vec::new();
        for place in 0..n {
            if (place + cut).is_multiple_of(5) {
                shared = normal(random);
            }
            let own = normal(random);
            scores.push(score(alike.sqrt() * shared + (1.0 - alike).sqrt() * own));
        }
        (scores, (0..n).map(|place| (place + cut) / 5).collect())
    }

    /// The part of simulated samples whose interval holds the true mean.
    fn coverage(mut sample: impl FnMut() -> (Vec<f64>, Vec<usize>)) -> f64 {
        let (mut held, mut known) = (0.0, 0.0);
        for _ in 0..RUNS {
            let (scores, clusters) = sample();
            if let Ok(Interval { low, high }) = uncertainty(&scores, &clusters).interval {
                known += 1.0;
                held += f64::from(u8::from((low..=high).contains(&MEAN)));
            }
        }
        assert!(known > size(RUNS) * 0.9, "{known}");
        held / known
    }

    #[test]
    fn the_interval_of_independent_posts_holds_in_95_of_100_samples() {
        let random = &mut fastrand::Rng::with_seed(1);
        for n in [5, 10, 30, 100] {
            let held = coverage(|| ((0..n).map(|_| score(normal(random))).collect(), (0..n).collect()));
            assert!(held >= 0.94, "{n}: {held}");
        }
    }

    #[test]
    fn the_interval_of_conversations_of_five_holds_whether_they_are_known_or_not() {
        let random = &mut fastrand::Rng::with_seed(2);
        for alike in [0.35, 0.5] {
            for n in [30, 50, 100] {
                let held = coverage(|| conversations(random, n, alike));
                assert!(held >= 0.93, "known, {n}, {alike}: {held}");
            }
            for n in [10, 15, 30, 100] {
                let held = coverage(|| (conversations(random, n, alike).0, (0..n).collect()));
                assert!(held >= 0.93, "unknown, {n}, {alike}: {held}");
            }
        }
    }

    #[test]
    fn the_interval_of_known_conversations_that_mix_in_time_holds() {
        let random = &mut fastrand::Rng::with_seed(3);
        let held = coverage(|| {
            let (scores, clusters) = conversations(random, 100, 0.5);
            let mut places: Vec<usize> = (0..100).collect();
            random.shuffle(&mut places);
            let mixed = |place: &usize| (scores[*place], clusters[*place]);
            places.iter().map(mixed).unzip()
        });
        assert!(held >= 0.93, "{held}");
    }

    #[test]
    fn independence_would_be_assumed_in_vain() {
        let random = &mut fastrand::Rng::with_seed(4);
        let student = StudentsT::new(0.0, 1.0, 99.0).expect("a distribution").inverse_cdf(HIGH_TAIL);
        let held = (0..RUNS).filter(|_| {
            let (scores, _) = conversations(random, 100, 0.35);
            let mean = scores.iter().sum::<f64>() / 100.0;
            let squares = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>();
            (mean - MEAN).abs() <= student * (squares / 99.0 / 100.0).sqrt()
        });
        assert!(size(held.count()) < 0.85 * size(RUNS));
    }

    #[test]
    fn posts_of_one_author_or_conversation_are_one_cluster() {
        let posts = [(1, None), (2, Some(7)), (3, Some(8)), (1, Some(8)), (4, Some(7)), (5, None)];
        assert_eq!(clusters(posts.into_iter()), [0, 1, 0, 0, 1, 5]);
        assert_eq!(clusters([(7, None), (8, Some(7))].into_iter()), [0, 1], "an author is no conversation");
    }

    #[test]
    fn fewer_than_five_clusters_or_equal_scores_have_no_interval() {
        let scores = [0.1, 0.5, -0.3, 0.7, 0.0];
        let alone: Vec<usize> = (0..5).collect();
        assert!(uncertainty(&scores, &alone).interval.is_ok());
        assert_eq!(uncertainty(&scores, &[0, 1, 2, 3, 3]).interval, Err(Unknown::TooFew));
        assert_eq!(uncertainty(&scores[..4], &alone[..4]).interval, Err(Unknown::TooFew));
        let alike = uncertainty(&[0.0; 12], &(0..12).collect::<Vec<_>>());
        assert_eq!((alike.interval, alike.effective_size), (Err(Unknown::AllEqual), 12.0));
        assert_eq!(uncertainty(&[], &[]).effective_size.to_bits(), 0f64.to_bits());
    }

    /// Compared with a computation by hand, with the quantiles of `SciPy`.
    #[test]
    fn the_mean_of_groups_weighs_them_by_their_posts() {
        let alike = [(10.0, 0.1), (10.0, 0.3), (10.0, -0.1), (10.0, 0.2), (10.0, 0.0)];
        let (mean, interval) = mean_of_groups(&alike).expect("posts");
        // The standard error is 0.158114 / sqrt(5), and t(0.975, 4) is 2.776445.
        let Interval { low, high } = interval.expect("an interval");
        assert!(
            (mean - 0.1).abs() < 1e-12
                && (low + 0.096_324_3).abs() < 1e-6
                && (high - 0.296_324_3).abs() < 1e-6
        );
        let (mean, _) = mean_of_groups(&[(30.0, 0.5), (10.0, -0.5)]).expect("posts");
        assert!((mean - 0.25).abs() < 1e-12);
    }

    #[test]
    fn groups_that_are_few_or_alike_have_no_interval() {
        let interval = |groups: &[(f64, f64)]| mean_of_groups(groups).expect("posts").1;
        assert_eq!(interval(&[(9.0, 0.1), (9.0, 0.2), (9.0, 0.3), (9.0, 0.4)]), Err(Unknown::TooFew));
        let one_large = [(900.0, 0.1), (1.0, 0.2), (1.0, 0.3), (1.0, 0.4), (1.0, 0.5), (1.0, 0.6)];
        assert_eq!(interval(&one_large), Err(Unknown::TooFew));
        assert_eq!(interval(&[(7.0, 0.2); 6]), Err(Unknown::AllEqual));
        assert_eq!((mean_of_groups(&[]), mean_of_groups(&[(0.0, 0.5)])), (None, None));
    }

    #[test]
    fn the_interval_of_groups_holds_in_95_of_100_samples() {
        let random = &mut fastrand::Rng::with_seed(5);
        let mut held = 0.0;
        for _ in 0..RUNS {
            // Coins have opinions of their own, around one of the market, and different numbers of posts.
            let groups: Vec<(f64, f64)> = (0..20)
                .map(|_| {
                    let (of_coin, posts) = (0.1 * normal(random), random.u32(10..100));
                    let noise = 0.4 * normal(random) / f64::from(posts).sqrt();
                    (f64::from(posts), 0.2 + of_coin + noise)
                })
                .collect();
            let Interval { low, high } = mean_of_groups(&groups).expect("posts").1.expect("an interval");
            held += f64::from(u8::from((low..=high).contains(&0.2)));
        }
        assert!(held >= 0.93 * size(RUNS), "{held}");
    }

    #[test]
    fn posts_that_agree_within_conversations_count_for_fewer() {
        let agreeing: Vec<f64> = (0..50).map(|place| if place / 5 % 2 == 0 { 0.5 } else { -0.4 }).collect();
        let conversations: Vec<usize> = (0..50).map(|place| place / 5).collect();
        let found = uncertainty(&agreeing, &conversations);
        assert!((8.0..=11.0).contains(&found.effective_size), "{found:?}");
    }

    proptest! {
        #[test]
        fn no_sample_gives_a_number_out_of_bounds(posts in vec((-1.0..=1.0f64, 0..40usize), 0..150)) {
            let (scores, clusters): (Vec<f64>, Vec<usize>) = posts.into_iter().unzip();
            let found = uncertainty(&scores, &clusters);
            prop_assert!((0.0..=size(scores.len()) + 1e-9).contains(&found.effective_size), "{found:?}");
            let groups: Vec<(f64, f64)> = scores.iter().map(|score| (1.0 + score.abs(), *score)).collect();
            if let Some((mean, interval)) = mean_of_groups(&groups) {
                prop_assert!((-1.0..=1.0).contains(&mean));
                prop_assert!(interval.is_err() || interval.is_ok_and(|one| -1.0 <= one.low && one.high <= 1.0));
            }
            if let Ok(Interval { low, high }) = found.interval {
                let mean = scores.iter().sum::<f64>() / size(scores.len());
                prop_assert!(-1.0 <= low && low <= mean + 1e-9 && mean <= high + 1e-9 && high <= 1.0);
            }
        }
    }
}
