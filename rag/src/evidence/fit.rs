//! Fits the weights of evidence to questions whose evidence is known.

use super::features::{CANDIDATE, Features, NONE};
use super::model::{EvidenceWeights, scores, softmax};

/// A question with the candidates that hold its answer; none, if no candidate does.
#[derive(Debug, Clone)]
pub struct Example {
    /// Its numbers.
    pub features: Features,
    /// Which candidates hold the answer, each of them by itself.
    pub evidence: Vec<usize>,
}

/// Weights that make the evidence of `examples` likely: the least of the mean of `-ln Σ over the evidence of p`
/// and `l2 · |w|²`, found by `steps` of gradient descent with a step for each weight (Adam; Kingma & Ba 2014,
/// arXiv:1412.6980), from the same start always.
pub fn fit(examples: &[Example], l2: f32, steps: usize) -> EvidenceWeights {
    let (candidate, none) = descend(examples, [CANDIDATE.len(), NONE.len()], l2, steps);
    EvidenceWeights::of(&candidate, &none)
}

/// The weights of a candidate's numbers and of those of none, of which there are `counts`.
pub(super) fn descend(
    examples: &[Example],
    counts: [usize; 2],
    l2: f32,
    steps: usize,
) -> (Vec<f32>, Vec<f32>) {
    let size = counts.iter().sum();
    let mut weights = vec![0.0f32; size];
    let (mut first, mut second) = (vec![0.0f32; size], vec![0.0f32; size]);
    for step in 1..=steps {
        let mut gradient: Vec<f32> = weights.iter().map(|w| 2.0 * l2 * w).collect();
        let parts = weights.split_at(counts[0]);
        for example in examples {
            add_gradient(parts, example, 1.0 / examples.len() as f32, gradient.split_at_mut(counts[0]));
        }
        let rate = 0.1 * (1.0 - step as f32 / (steps + 1) as f32);
        for index in 0..size {
            first[index] = 0.9 * first[index] + 0.1 * gradient[index];
            second[index] = 0.99 * second[index] + 0.01 * gradient[index].powi(2);
            let mean = first[index] / (1.0 - 0.9f32.powi(step as i32));
            let spread = second[index] / (1.0 - 0.99f32.powi(step as i32));
            weights[index] -= rate * mean / (spread.sqrt() + 1e-8);
        }
    }
    let none = weights.split_off(counts[0]);
    (weights, none)
}

/// Adds the gradient of `-ln Σ over the evidence of p`, weighted: of each weight, what is expected of its number
/// less what is expected where the answer is known.
fn add_gradient(
    (candidate, none): (&[f32], &[f32]),
    example: &Example,
    weight: f32,
    (of_candidates, of_none): (&mut [f32], &mut [f32]),
) {
    let (candidates, nothing) = scores(candidate, none, &example.features);
    let (p, nothing) = softmax(&candidates, nothing);
    let known: f32 = example.evidence.iter().filter_map(|index| p.get(*index)).sum();
    for (index, (x, p)) in example.features.candidates.iter().zip(&p).enumerate() {
        let share = if example.evidence.contains(&index) { p / known.max(1e-12) } else { 0.0 };
        let error = weight * (p - share);
        of_candidates.iter_mut().zip(x).for_each(|(gradient, x)| *gradient += error * x);
    }
    let share = if example.evidence.is_empty() { 1.0 } else { 0.0 };
    let error = weight * (nothing - share);
    of_none.iter_mut().zip(&example.features.none).for_each(|(gradient, x)| *gradient += error * x);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(cosines: &[f32], evidence: &[usize]) -> Example {
        let row = |cosine: &f32| {
            let mut row = vec![0.0; CANDIDATE.len()];
            row[0] = *cosine;
            row
        };
        let mut none = vec![0.0; NONE.len()];
        none[0] = 1.0;
        let candidates = cosines.iter().map(row).collect();
        Example { features: Features { candidates, none }, evidence: evidence.to_vec() }
    }

    #[test]
    fn learns_which_candidate_and_when_there_is_none() {
        let examples = [
            example(&[0.9, 0.3, 0.4], &[0]),
            example(&[0.2, 0.8], &[1]),
            example(&[0.3, 0.2, 0.4], &[]),
            example(&[], &[]),
        ];
        let weights = fit(&examples, 1e-4, 300);
        for example in &examples {
            let (p, none) = weights.probabilities(&example.features);
            match example.evidence.first() {
                Some(index) => assert!(p[*index] > 0.8, "{p:?} {none}"),
                None => assert!(none > 0.8, "{p:?} {none}"),
            }
            assert!((p.iter().sum::<f32>() + none - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn the_gradient_is_the_slope_of_the_loss() {
        let example = example(&[0.9, 0.3, -0.4], &[1, 2]);
        let mut weights = vec![0.1; CANDIDATE.len() + NONE.len()];
        let loss = |weights: &[f32]| {
            let (candidate, none) = weights.split_at(CANDIDATE.len());
            let (candidates, none) = scores(candidate, none, &example.features);
            let (p, _) = softmax(&candidates, none);
            -(p[1] + p[2]).ln()
        };
        let mut gradient = vec![0.0; weights.len()];
        let counts = CANDIDATE.len();
        add_gradient(weights.split_at(counts), &example, 1.0, gradient.split_at_mut(counts));
        for index in [0, CANDIDATE.len()] {
            let at = loss(&weights);
            weights[index] += 1e-2;
            let slope = (loss(&weights) - at) / 1e-2;
            weights[index] -= 1e-2;
            assert!((slope - gradient[index]).abs() < 2e-2, "{slope} {}", gradient[index]);
        }
    }
}
