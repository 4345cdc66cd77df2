//! Integer products of rows of activations with several matrices: one rounding, one parallel section.

use std::ops::Range;
use std::sync::Arc;

use burn::backend::flex::FlexTensor;

use super::dispatch::kernel;
use crate::backend::cpu::memory::shared_slice::{Scratch, SharedSlice};
use crate::backend::cpu::operands::Kernel;
use crate::backend::cpu::operands::activations_q16::Activations;
use crate::backend::cpu::operands::packed_offsets::{PackedOffsets, PackedPart};
use crate::backend::cpu::threads::{pool, prefetch};
use crate::quant::{Layout, TILE};

/// Bytes of weights, times rows of activations, that are worth a task of its own.
const TASK: usize = 1 << 15;
/// Tasks that a product of few rows is cut into at most, but for remainders: enough to balance, few enough
/// that each is a long stream of weights.
const MOST_STREAMS: usize = 32;
/// Tasks that a product of many rows is cut into at most. More than of few rows, because each takes longer, and a thread
/// may have to wait for another's last.
const MOST_TASKS: usize = 256;
/// Rows of activations up to which a product runs as a speculative job, whose caller does not wait for a helper that the
/// system has interrupted: in so short a step the wait would be most of the time.
const SPECULATIVE_ROWS: usize = 16;

/// What tasks read.
pub(crate) struct Product {
    kernel: Kernel,
    x: Activations,
    matrices: Vec<(FlexTensor, PackedOffsets)>,
    tasks: Vec<Task>,
}

/// Neighbouring tiles of one matrix.
struct Task {
    matrix: usize,
    tiles: Range<usize>,
}

impl Product {
    /// The product of `x [tokens][cols]` with packed matrices of as many columns, all in super-blocks or none.
    pub fn new(x: &[f32], matrices: Vec<(FlexTensor, Layout)>) -> Self {
        let (format, cols) = (matrices[0].1.format(), matrices[0].1.cols());
        let rounded_alike = |other: Layout| other.format().has_super_blocks() == format.has_super_blocks();
        assert!(matrices.iter().all(|(_, other)| rounded_alike(*other) && other.cols() == cols));
        let x = Activations::quantize(x, cols, format);
        let offsets = |(words, layout)| (words, PackedOffsets::of(layout));
        let matrices: Vec<_> = matrices.into_iter().map(offsets).collect();
        let cost = |offsets: &PackedOffsets| offsets.words() * 4 * x.tokens;
        let tasks = if x.tokens > SPECULATIVE_ROWS { MOST_TASKS } else { MOST_STREAMS };
        let most = matrices.iter().map(|(_, offsets)| cost(offsets)).sum::<usize>() / tasks;
        let mut tasks = Vec::new();
        for (matrix, (_, offsets)) in matrices.iter().enumerate() {
            let tiles = offsets.tiles();
            let step = (TASK.max(most) * tiles / cost(offsets).max(1)).clamp(1, tiles);
            let of = |first: usize| Task { matrix, tiles: first..tiles.min(first + step) };
            tasks.extend((0..tiles).step_by(step).map(of));
        }
        Self { kernel: kernel(), x, matrices, tasks }
    }

    /// The rows of activations, and of each matrix `y [tokens][rows]`.
    pub fn run(self) -> (usize, Vec<Vec<f32>>) {
        let tokens = self.x.tokens;
        let lens: Vec<usize> =
            self.matrices.iter().map(|(_, offsets)| tokens * offsets.layout().rows()).collect();
        let mut ys: Vec<Vec<f32>> = lens.iter().map(|len| Vec::with_capacity(*len)).collect();
        if tokens > 0 {
            let places: Vec<_> = ys.iter_mut().map(|y| SharedSlice::new(y.spare_capacity_mut())).collect();
            match tokens {
                ..=SPECULATIVE_ROWS => self.run_speculative(&lens, &places),
                // SAFETY: every task is done once.
                _ => pool::run(self.tasks.len(), &|task| unsafe {
                    self.task(task, &places[self.tasks[task].matrix]);
                }),
            }
        }
        for (y, len) in ys.iter_mut().zip(lens) {
            // SAFETY: the tasks cover all tiles, and every kernel writes its tile for all rows of activations.
            unsafe { y.set_len(len) };
        }
        (tokens, ys)
    }

    /// Runs the tasks as a speculative job.
    fn run_speculative(self, lens: &[usize], places: &[SharedSlice<f32>]) {
        let scratch: Vec<Scratch> = lens.iter().map(|len| Scratch::new(*len)).collect();
        let shared = Arc::new((self, scratch));
        let theirs = {
            let shared = shared.clone();
            move |task: usize| {
                let (product, scratch) = &*shared;
                // SAFETY: a helper takes a task once, and the outputs are read when it is done.
                unsafe { product.task(task, &scratch[product.tasks[task].matrix].place()) };
            }
        };
        let (product, scratch) = &*shared;
        let collect = |task: usize| {
            let Task { matrix, tiles } = &product.tasks[task];
            let all = product.matrices[*matrix].1.layout().rows();
            let rows = tiles.start * TILE..all.min(tiles.end * TILE);
            for at in (0..product.x.tokens).map(|token| token * all + rows.start) {
                // SAFETY: a helper has written these rows, and nobody writes them to their place.
                unsafe { places[*matrix].write(at, scratch[*matrix].read(at, rows.len())) };
            }
        };
        let next = || {
            let (words, _) = &product.matrices[0];
            prefetch::begin(words.storage::<u32>().as_ptr().addr(), || product.reads())
        };
        // SAFETY: the caller does a task at most once, and nobody else writes in place.
        let mine = |task: usize| unsafe { product.task(task, &places[product.tasks[task].matrix]) };
        pool::run_speculative(product.tasks.len(), next, theirs, mine, collect);
    }

    /// What each task reads.
    fn reads(&self) -> Vec<Vec<Range<usize>>> {
        let of_task = |Task { matrix, tiles }: &Task| {
            let (words, offsets) = &self.matrices[*matrix];
            let part = |plane: PackedPart| {
                let words = plane.tiles(words.storage(), tiles.clone()).as_ptr_range();
                words.start.addr()..words.end.addr()
            };
            [offsets.codes(), offsets.high(), offsets.sub_scales(), offsets.scales()].map(part).into()
        };
        self.tasks.iter().map(of_task).collect()
    }

    /// Writes the outputs of a task's tiles.
    ///
    /// # Safety
    /// Nobody else reads or writes these outputs in `y` meanwhile.
    unsafe fn task(&self, task: usize, y: &SharedSlice<f32>) {
        let Task { matrix, tiles } = &self.tasks[task];
        let (words, offsets) = &self.matrices[*matrix];
        // SAFETY: the caller's; tasks have no tile in common.
        unsafe { (self.kernel)(offsets, words.storage(), tiles.clone(), &self.x, y) };
    }
}
