//! What changes of an index: its parts, and where they are kept. One change at a time is made here; each is
//! published as a snapshot.

use std::path::PathBuf;

use super::bytes::SegmentBytes;
use super::draft::{Draft, GRAPH_FROM};
use super::log::Change;
use super::manifest::MadeWith;
use super::merge;
use super::part::{Part, Texts, delete};
use super::policy::{self, SegmentSize};
use super::segment::Segment;
use super::store::{Store, Written, write_segment};
use crate::RagError;

/// Documents and chunks of a segment in memory from which on it is not merged at once: that would take longer
/// than a change may.
const AT_ONCE: usize = 512;

/// Documents and chunks in memory from which on they are written to a segment's file, …
const FLUSH: usize = 8192;
/// … or bytes of the log.
const FLUSH_BYTES: u64 = 32 << 20;

/// What changes of an index.
#[derive(Debug)]
pub(super) struct State {
    pub parts: Vec<Part>,
    pub made_with: MadeWith,
    /// `None` for an index in memory.
    pub store: Option<Store>,
    pub next: u64,
    /// Segments that a job is merging.
    busy: Vec<u64>,
    /// Vectors of a segment from which on it has a graph.
    pub graph_from: usize,
    /// Documents and chunks in memory from which on they are written to a file.
    pub flush_at: usize,
    /// Whether everything is wanted in one segment.
    pub compact: bool,
}

/// Segments that are to become one, apart from the state, so that it can change meanwhile.
#[derive(Debug)]
pub(super) struct Job {
    inputs: Vec<Part>,
    id: u64,
    dim: usize,
    graph_from: usize,
    folder: Option<PathBuf>,
    /// The first log that is needed when this is done, if that changes.
    log: Option<u64>,
}

/// What a job made: a segment, unless nothing was live.
pub(super) type Made = Option<(Segment, Option<Written>)>;

impl State {
    pub fn new(made_with: MadeWith) -> Self {
        State {
            parts: Vec::new(),
            made_with,
            store: None,
            next: 0,
            busy: Vec::new(),
            graph_from: GRAPH_FROM,
            flush_at: FLUSH,
            compact: false,
        }
    }

    /// Takes over what a folder holds.
    pub fn restore(&mut self, parts: Vec<Part>, changes: Vec<Change>, next: u64) -> Vec<String> {
        self.parts = parts;
        self.next = next;
        let mut damage = Vec::new();
        for change in changes {
            // Each record is a segment of its own: unmerged there would be as many as changes.
            damage.extend(self.enter(change).map(drop).and_then(|()| self.merge_small()).err());
        }
        let mut texts = Texts::default();
        self.parts.iter().for_each(|part| texts.extend(Texts::of(part)));
        texts.elect(&mut self.parts);
        damage
    }

    /// Deletes documents and adds those of `draft`, in place of those of the same ids. When this returns, it
    /// will survive whatever happens to the process.
    pub fn change(&mut self, deleted: Vec<String>, draft: Option<&Draft>) -> Result<(), RagError> {
        let bytes = |draft: &Draft| draft.write(Vec::new(), usize::MAX).map(|(bytes, _)| bytes);
        let segment = draft.map(bytes).transpose().map_err(|error| self.failed(error))?.unwrap_or_default();
        let change = Change { deleted, segment };
        if let Some(store) = &mut self.store {
            store.append(&change)?;
        }
        self.enter(change).map_err(|reason| self.failed(reason))?.elect(&mut self.parts);
        self.merge_small().map_err(|reason| self.failed(reason))
    }

    fn failed(&self, reason: impl ToString) -> RagError {
        let folder = self.store.as_ref().map(|store| store.folder().to_path_buf());
        RagError::File {
            path: folder.unwrap_or_else(|| "index in memory".into()),
            reason: reason.to_string(),
        }
    }

    /// Makes a change that is in the log. Gives back the texts whose copies must be elected.
    fn enter(&mut self, change: Change) -> Result<Texts, String> {
        let Change { deleted, segment } = change;
        let new = match segment.is_empty() {
            true => None,
            false => Some(Segment::new(SegmentBytes::Owned(segment), self.made_with.dim)?),
        };
        let mut texts = delete(&mut self.parts, deleted.iter().map(String::as_str));
        if let Some(segment) = new {
            let ids = segment.documents().iter().map(|entry| entry.id.as_str());
            texts.extend(delete(&mut self.parts, ids));
            let part = Part::new(self.new_id(), segment, None);
            texts.extend(Texts::of(&part));
            self.parts.push(part);
        }
        Ok(texts)
    }

    fn new_id(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Merges small segments in memory, as many as the policy wants.
    fn merge_small(&mut self) -> Result<(), String> {
        loop {
            let small: Vec<&Part> = self
                .parts
                .iter()
                .filter(|part| part.file.is_none() && !self.busy.contains(&part.id))
                .filter(|part| size(part).live < AT_ONCE)
                .collect();
            let planned = plan(&small);
            if planned.is_empty() {
                return Ok(());
            }
            let id = self.new_id();
            let job = Job {
                inputs: planned,
                id,
                dim: self.made_with.dim,
                graph_from: usize::MAX,
                folder: None,
                log: None,
            };
            let made = job.run().map_err(|error| error.to_string())?;
            self.replace(&job, made).map_err(|error| error.to_string())?;
        }
    }

    /// What should be merged in the background now.
    pub fn next_job(&mut self) -> Result<Option<Job>, RagError> {
        let free: Vec<&Part> = self.parts.iter().filter(|part| !self.busy.contains(&part.id)).collect();
        let (mut inputs, mut flush) = (Vec::new(), false);
        let in_memory = || free.iter().filter(|part| part.file.is_none());
        if self.compact {
            self.compact = false;
            let wasted = self.parts.iter().any(|part| size(part).live < size(part).all);
            let lacks_graph = self
                .parts
                .iter()
                .any(|part| part.segment.graph().is_none() && part.segment.codes().rows() >= self.graph_from);
            if free.len() > 1 || wasted || lacks_graph {
                inputs = free.iter().map(|part| (*part).clone()).collect();
                flush = in_memory().next().is_some();
            }
        } else if let Some(store) = &self.store {
            let waiting: usize = in_memory().map(|part| size(part).all).sum();
            if waiting >= self.flush_at || (store.log_len() >= FLUSH_BYTES && waiting > 0) {
                inputs = in_memory().map(|part| (*part).clone()).collect();
                flush = true;
            } else {
                inputs = plan(&free.iter().filter(|part| part.file.is_some()).copied().collect::<Vec<_>>());
            }
        } else {
            inputs = plan(&free);
        }
        if inputs.is_empty() {
            return Ok(None);
        }
        let (folder, log) = match &mut self.store {
            Some(store) => (Some(store.folder().to_path_buf()), flush.then(|| store.rotate()).transpose()?),
            None => (None, None),
        };
        self.busy = inputs.iter().map(|part| part.id).collect();
        let (id, dim, graph_from) = (self.new_id(), self.made_with.dim, self.graph_from);
        Ok(Some(Job { inputs, id, dim, graph_from, folder, log }))
    }

    /// Puts in place what a job made, and commits it.
    pub fn finish(&mut self, job: &Job, made: Result<Made, RagError>) -> Result<(), RagError> {
        self.busy.clear();
        self.replace(job, made?)?;
        match &mut self.store {
            Some(store) => store.commit_from(job.log, &self.parts, &self.made_with, self.next),
            None => Ok(()),
        }
    }

    fn replace(&mut self, job: &Job, made: Made) -> Result<(), RagError> {
        let new = match (made, &self.store) {
            (Some((segment, Some(file))), Some(store)) => Some((segment, Some(store.keep(file)?))),
            (Some((segment, _)), _) => Some((segment, None)),
            (None, _) => None,
        };
        let is_input = |part: &Part| job.inputs.iter().any(|input| input.id == part.id);
        let (inputs, mut parts): (Vec<Part>, Vec<Part>) =
            std::mem::take(&mut self.parts).into_iter().partition(is_input);
        let Some((segment, file)) = new else {
            self.parts = parts;
            return Ok(());
        };
        let mut part = Part::new(job.id, segment, file);
        for number in 0..part.segment.documents().len() {
            // Deleted while the job ran.
            let segment = part.segment.clone();
            let id = segment.documents().get(number).map(|entry| entry.id.as_str());
            if id.is_some_and(|id| super::part::find(&inputs, id).is_none()) {
                part.delete(number);
            }
        }
        let texts = Texts::of(&part);
        parts.push(part);
        self.parts = parts;
        texts.elect(&mut self.parts);
        Ok(())
    }
}

impl Job {
    /// Makes the segment.
    pub fn run(&self) -> Result<Made, RagError> {
        let draft = merge::draft(&self.inputs, self.dim);
        if draft.documents.is_empty() {
            return Ok(None);
        }
        if let Some(folder) = &self.folder {
            let (segment, file) = write_segment(folder, self.id, &draft, self.graph_from)?;
            return Ok(Some((segment, Some(file))));
        }
        let in_memory = |reason: String| RagError::file("index in memory".as_ref(), reason);
        let (bytes, _) =
            draft.write(Vec::new(), self.graph_from).map_err(|error| in_memory(error.to_string()))?;
        Ok(Some((Segment::new(SegmentBytes::Owned(bytes), self.dim).map_err(in_memory)?, None)))
    }
}

fn size(part: &Part) -> SegmentSize {
    let (documents, chunks) = part.live.counts();
    SegmentSize { live: documents + chunks, all: part.segment.documents().len() + part.segment.chunks() }
}

/// The parts that should become one.
fn plan(parts: &[&Part]) -> Vec<Part> {
    let sizes: Vec<SegmentSize> = parts.iter().map(|part| size(part)).collect();
    let planned = policy::plan(&sizes).into_iter();
    planned.filter_map(|number| parts.get(number)).map(|part| (*part).clone()).collect()
}
