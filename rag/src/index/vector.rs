//! Vectors of length 1, whose dot product is their cosine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Embedder, RagError};

/// A vector of length 1 (or 0, which is like nothing), cheap to clone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<f32>", into = "Vec<f32>")]
pub struct UnitVector(Arc<[f32]>);

/// Numbers that were a unit vector before they were stored.
impl From<Vec<f32>> for UnitVector {
    fn from(values: Vec<f32>) -> Self {
        UnitVector(values.into())
    }
}

impl From<UnitVector> for Vec<f32> {
    fn from(vector: UnitVector) -> Self {
        vector.0.to_vec()
    }
}

impl UnitVector {
    /// Scales `values` to length 1; `None` if one of them is not a finite number.
    pub fn new(mut values: Vec<f32>) -> Option<Self> {
        let length = values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() {
            return None;
        }
        if length > 0.0 {
            values.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
        Some(UnitVector(values.into()))
    }

    /// Embeds `texts`, and checks the number and length of the vectors that the embedder gave.
    ///
    /// # Errors
    /// If a text cannot be embedded, or what the embedder gave is not a vector of its length for each.
    pub fn embed(embedder: &dyn Embedder, texts: &[&str]) -> Result<Vec<Self>, RagError> {
        let bad = |reason| RagError::Embedding { embedder: embedder.id().to_string(), reason };
        let vectors = embedder.embed(texts)?;
        if vectors.len() != texts.len() {
            return Err(bad(format!("gave {} vectors for {} texts", vectors.len(), texts.len())));
        }
        let check = |vector: Vec<f32>| {
            if vector.len() != embedder.dim() {
                let reason = format!("gave a vector of {}, expected {}", vector.len(), embedder.dim());
                return Err(bad(reason));
            }
            UnitVector::new(vector).ok_or_else(|| bad("gave a vector that is not finite".into()))
        };
        vectors.into_iter().map(check).collect()
    }

    /// Embeds a question.
    pub fn of_question(embedder: &dyn Embedder, question: &str) -> Result<Self, RagError> {
        let bad =
            |reason: &str| RagError::Embedding { embedder: embedder.id().to_string(), reason: reason.into() };
        let vector = embedder.embed_question(question)?;
        if vector.len() != embedder.dim() {
            return Err(bad(&format!("gave a vector of {}, expected {}", vector.len(), embedder.dim())));
        }
        UnitVector::new(vector).ok_or_else(|| bad("gave a vector that is not finite"))
    }

    /// The direction of the sum of `vectors`; like nothing if there are none.
    pub fn mean(vectors: &[UnitVector]) -> UnitVector {
        let mut sum = vec![0.0; vectors.first().map_or(0, |first| first.0.len())];
        for vector in vectors {
            sum.iter_mut().zip(vector.0.iter()).for_each(|(sum, x)| *sum += x);
        }
        UnitVector::new(sum).unwrap_or_else(|| Vec::new().into())
    }

    /// Cosine of the angle between the two, in `[-1, 1]`.
    pub fn cosine(&self, other: &UnitVector) -> f32 {
        dot(&self.0, &other.0, |x| x)
    }

    /// The same, the other as it is stored: numbers of four bytes, the lowest first.
    pub(crate) fn cosine_of_bytes(&self, other: &[[u8; 4]]) -> f32 {
        dot(&self.0, other, f32::from_le_bytes)
    }

    /// Its numbers.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }
}

/// The dot product of `a` and what `value` makes of `b`; of what both have, if their lengths differ.
fn dot<T: Copy>(a: &[f32], b: &[T], value: impl Fn(T) -> f32) -> f32 {
    // Eight running sums instead of one, so that the compiler may keep them in one register.
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * value(b[i]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * value(*b)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_is_that_of_the_vectors_directions() {
        let vector = |values: &[f32]| UnitVector::new(values.to_vec()).unwrap();
        let long: Vec<f32> = (1..=19).map(|x| x as f32).collect();
        let opposite: Vec<f32> = long.iter().map(|x| -3.0 * x).collect();
        assert!((vector(&long).cosine(&vector(&long)) - 1.0).abs() < 1e-6);
        assert!((vector(&long).cosine(&vector(&opposite)) + 1.0).abs() < 1e-6);
        assert!((vector(&[1.0, 0.0]).cosine(&vector(&[2.0, 2.0])) - 0.5f32.sqrt()).abs() < 1e-6);
        assert_eq!(vector(&[0.0, 0.0]).cosine(&vector(&[2.0, 2.0])), 0.0);
    }

    #[test]
    fn the_mean_lies_between() {
        let vector = |values: &[f32]| UnitVector::new(values.to_vec()).unwrap();
        let mean = UnitVector::mean(&[vector(&[2.0, 0.0]), vector(&[0.0, 3.0])]);
        assert!((mean.cosine(&vector(&[1.0, 1.0])) - 1.0).abs() < 1e-6);
        assert_eq!(UnitVector::mean(&[]).cosine(&vector(&[1.0, 1.0])), 0.0);
    }

    #[test]
    fn numbers_that_are_not_finite_are_no_vector() {
        assert_eq!(UnitVector::new(vec![1.0, f32::NAN]), None);
        assert_eq!(UnitVector::new(vec![f32::INFINITY]), None);
        assert!(UnitVector::new(vec![f32::MAX, f32::MAX]).is_some());
    }
}
