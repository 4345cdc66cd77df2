//! Approximate search: a hierarchical navigable small world graph (Malkov & Yashunin 2018,
//! arXiv:1603.09320), by the crate `instant-distance`, over vectors in 8 bits.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use instant_distance::{Builder, Heuristic, Hnsw, Point, Search};
use serde::{Deserialize, Serialize};

use super::codes::{Code, Codes};

/// Candidates kept while searching (`ef`), fixed when the graph is built: more find more and take longer.
const EF_SEARCH: usize = 160;

/// Candidates kept while inserting (`ef_construction`). Of them only links to what is not nearer to one
/// already linked are kept, as the paper's authors do in hnswlib; the crate's default fills up with the
/// others, which takes three times as long to build and, in the one comparison made, finds less in the same time.
const EF_CONSTRUCTION: usize = 128;

/// A graph over the rows of a [`Codes`].
pub(super) struct Graph {
    graph: Hnsw<Node>,
    /// For each node its row: `instant-distance` orders nodes itself, and says only where they went.
    len: usize,
    /// Memory of earlier searches, which is as large as the graph has nodes.
    searches: Mutex<Vec<Search>>,
}

/// A row. The graph asks only the first of two for their distance, so only queries and nodes of a graph
/// that is being built know the vectors.
#[derive(Clone, Serialize, Deserialize)]
struct Node {
    row: u32,
    #[serde(skip)]
    space: Option<Arc<Space>>,
}

/// What distances are taken in.
struct Space {
    codes: Codes,
    /// The first of two points, if it is no row.
    query: Option<Code>,
}

impl Point for Node {
    /// The crate wants less to be better; scores turn it back.
    fn distance(&self, other: &Self) -> f32 {
        let row = other.row as usize;
        match self.space.as_deref() {
            Some(Space { codes, query: Some(query) }) => 1.0 - codes.near(query, row),
            Some(Space { codes, query: None }) => 1.0 - codes.between(self.row as usize, row),
            None => 1.0,
        }
    }
}

impl Graph {
    /// Most results that a search can give; more need a scan.
    pub const MAX_RESULTS: usize = EF_SEARCH;

    /// Builds the graph of `codes` as bytes. It takes seconds for ten thousand rows.
    pub fn build(codes: &Codes) -> Result<Vec<u8>, String> {
        let heuristic = Heuristic { extend_candidates: false, keep_pruned: false };
        let builder = Builder::default()
            .ef_search(EF_SEARCH)
            .ef_construction(EF_CONSTRUCTION)
            .select_heuristic(Some(heuristic))
            .seed(0);
        let space = Arc::new(Space { codes: codes.clone(), query: None });
        let nodes = (0..codes.rows() as u32).map(|row| Node { row, space: Some(space.clone()) }).collect();
        let (graph, _) = builder.build_hnsw(nodes);
        postcard::to_allocvec(&graph).map_err(|error| error.to_string())
    }

    /// The graph that [`build`](Self::build) made, of so many rows. The crate does not check the links of
    /// a graph, so the bytes must be known to be those.
    pub fn from_bytes(bytes: &[u8], rows: usize) -> Result<Graph, String> {
        let graph: Hnsw<Node> = postcard::from_bytes(bytes).map_err(|error| format!("graph: {error}"))?;
        let mut len = 0;
        for (_, node) in graph.iter() {
            len += 1;
            if node.row as usize >= rows {
                return Err(format!("graph: has row {} of {rows}", node.row));
            }
        }
        if len != rows {
            return Err(format!("graph: has {len} rows of {rows}"));
        }
        Ok(Graph { graph, len, searches: Mutex::default() })
    }

    /// About the [`MAX_RESULTS`](Self::MAX_RESULTS) nearest rows, best first.
    pub fn search(&self, codes: &Codes, query: &Code) -> Vec<usize> {
        let space = Space { codes: codes.clone(), query: Some(query.clone()) };
        let query = Node { row: 0, space: Some(Arc::new(space)) };
        let mut search =
            self.searches.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let found = self.graph.search(&query, &mut search).map(|item| item.point.row as usize).collect();
        self.searches.lock().unwrap_or_else(PoisonError::into_inner).push(search);
        found
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Graph({} rows)", self.len)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::UnitVector;
    use super::super::codes::tests::codes_of;
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

    fn graph(codes: &Codes) -> Graph {
        Graph::from_bytes(&Graph::build(codes).unwrap(), codes.rows()).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(6))]

        #[test]
        fn finds_nearly_all_that_a_scan_finds(seed: u64, clusters in 1usize..40) {
            let mut vectors = clustered(seed, clusters, 1520, 24);
            let queries = vectors.split_off(1500);
            let codes = codes_of(&vectors, 24);
            let graph = graph(&codes);
            let mut found = 0;
            for query in &queries {
                let query = Code::new(query.as_slice());
                let near = graph.search(&codes, &query);
                let scores: Vec<f32> = near.iter().map(|row| codes.near(&query, *row)).collect();
                prop_assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]));
                found += codes.scan(&query, None, 10).iter().filter(|best| near[..12].contains(best)).count();
            }
            let recall = found as f64 / (10 * queries.len()) as f64;
            prop_assert!(recall >= 0.95, "recall {recall}");
        }
    }

    #[test]
    fn bytes_of_another_graph_are_refused() {
        let codes = codes_of(&clustered(7, 5, 300, 8), 8);
        let bytes = Graph::build(&codes).unwrap();
        assert_eq!(Graph::from_bytes(&bytes, 301).unwrap_err(), "graph: has 300 rows of 301");
        assert!(Graph::from_bytes(&bytes, 299).unwrap_err().starts_with("graph: has row 299"));
        assert!(Graph::from_bytes(&bytes[..bytes.len() / 2], 300).unwrap_err().starts_with("graph: "));
    }

    #[test]
    fn equal_vectors_and_tiny_graphs_are_searched_too() {
        let same = vec![UnitVector::new(vec![1.0, 1.0]).unwrap(); 100];
        let query = Code::new(same[0].as_slice());
        for count in [100, 1, 0] {
            let codes = codes_of(&same[..count], 2);
            // Of many equal vectors some cannot be reached; a scan serves where too few are found.
            assert!(graph(&codes).search(&codes, &query).len() >= count.min(10));
        }
    }
}
