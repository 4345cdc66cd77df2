//! The past of sequences: a ledger that knows which positions lie in which block and no tensor, and the keys and
//! values in the blocks, which know no sequence.

pub(crate) mod batch;
mod block_pool;
pub(crate) mod kv_cache;
pub(crate) mod ledger;
mod prefix_trie;
