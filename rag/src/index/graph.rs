//! Approximate search: a hierarchical navigable small world graph (Malkov & Yashunin 2018,
//! arXiv:1603.09320), by the crate `instant-distance`.

use std::fmt;

use instant_distance::{Builder, HnswMap, Point, Search};

use super::{Match, UnitVector};

/// Candidates kept while searching (`ef`), fixed when the graph is built: more find more and take longer.
const EF_SEARCH: usize = 128;

/// Candidates kept while inserting (`ef_construction`).
const EF_CONSTRUCTION: usize = 128;

/// A graph over an index's vectors; its values are their numbers.
pub(super) struct Graph(HnswMap<UnitVector, usize>);

impl Point for UnitVector {
    /// The crate wants less to be better; scores turn it back.
    fn distance(&self, other: &Self) -> f32 {
        1.0 - self.cosine(other)
    }
}

impl Graph {
    /// Most results that a search can give; more need an exact scan.
    pub const MAX_RESULTS: usize = EF_SEARCH;

    pub fn build(vectors: &[UnitVector]) -> Graph {
        let builder = Builder::default().ef_search(EF_SEARCH).ef_construction(EF_CONSTRUCTION).seed(0);
        Graph(builder.build(vectors.to_vec(), (0..vectors.len()).collect()))
    }

    /// The graph and its vectors as bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        postcard::to_allocvec(&self.0).map_err(|error| error.to_string())
    }

    /// The graph that [`to_bytes`](Self::to_bytes) stored. The crate does not check the links of a
    /// graph, so the bytes must be known to be those.
    pub fn from_bytes(bytes: &[u8]) -> Result<Graph, String> {
        postcard::from_bytes(bytes).map(Graph).map_err(|error| error.to_string())
    }

    /// The vectors in the order they were given in.
    pub fn vectors(&self) -> Vec<UnitVector> {
        let mut vectors: Vec<_> = self.0.values.iter().zip(self.0.iter().map(|(_, vector)| vector)).collect();
        vectors.sort_unstable_by_key(|(number, _)| **number);
        vectors.into_iter().map(|(_, vector)| vector.clone()).collect()
    }

    /// About the `k` nearest, best first.
    pub fn search(&self, query: &UnitVector, k: usize) -> Vec<Match> {
        let mut search = Search::default();
        let found = self.0.search(query, &mut search).take(k);
        let mut matches: Vec<Match> =
            found.map(|item| Match { chunk: *item.value, score: query.cosine(item.point) }).collect();
        matches.sort_unstable_by(Match::order);
        matches
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Graph({} vectors)", self.0.values.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::exact_search;
    use super::*;

    /// Topics with many variations each, as the chunks of a knowledge base are.
    fn clustered(seed: u64, clusters: usize, vectors: usize, dim: usize) -> Vec<UnitVector> {
        let mut state = seed;
        let mut random = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        let centres: Vec<Vec<f32>> = (0..clusters).map(|_| (0..dim).map(|_| random()).collect()).collect();
        let near = |n: usize| centres[n % clusters].iter().map(|x| x + 0.7 * random()).collect();
        (0..vectors).map(near).map(|values| UnitVector::new(values).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]

        #[test]
        fn finds_nearly_all_that_an_exact_scan_finds(seed: u64, clusters in 1usize..40) {
            let mut vectors = clustered(seed, clusters, 1520, 24);
            let queries = vectors.split_off(1500);
            let graph = Graph::build(&vectors);
            let mut found = 0;
            for query in &queries {
                let near = graph.search(query, 10);
                prop_assert!(near.windows(2).all(|pair| pair[0].score >= pair[1].score));
                found += exact_search(&vectors, query, 10).iter().filter(|best| near.contains(best)).count();
            }
            let recall = found as f64 / (10 * queries.len()) as f64;
            prop_assert!(recall >= 0.95, "recall {recall}");
        }
    }

    #[test]
    fn is_stored_and_read_back() {
        let vectors = clustered(7, 5, 300, 8);
        let graph = Graph::build(&vectors);
        let again = Graph::from_bytes(&graph.to_bytes().unwrap()).unwrap();
        assert_eq!(again.vectors(), vectors);
        assert_eq!(again.search(&vectors[3], 10), graph.search(&vectors[3], 10));
    }

    #[test]
    fn equal_vectors_and_tiny_graphs_are_searched_too() {
        let same = vec![UnitVector::new(vec![1.0, 1.0]).unwrap(); 100];
        assert_eq!(Graph::build(&same).search(&same[0], 10).len(), 10);
        assert_eq!(
            Graph::build(&same[..1]).search(&same[0], 10),
            [Match { chunk: 0, score: same[0].cosine(&same[0]) }]
        );
        assert_eq!(Graph::build(&[]).search(&same[0], 10), []);
    }
}
