//! Packs the blocks of a text into pieces that fit, neighbours together, cut where the structure is cut.

use std::ops::Range;

use text_splitter::{ChunkConfig, TextSplitter, TryChunkSizer};

use super::block::{Block, Kind};
use crate::{Embedder, RagError};

/// Tokens that a piece repeats of the one before it, so that what the cut divides is complete in one of
/// them. Only whole sentences or paragraphs are repeated.
const OVERLAP: usize = 32;

/// Bytes that are cut at a time: the time of that grows with the square of an endless word or sentence.
const WINDOW: usize = 8 << 10;

/// A part of a text.
pub(super) struct Piece {
    pub range: Range<usize>,
    /// What stands before it, cut off from it: see [`Block::lead`].
    pub lead: Option<Range<usize>>,
}

/// Measures texts in an embedder's tokens.
#[derive(Clone, Copy)]
pub(super) struct Sizer<'a> {
    pub embedder: &'a dyn Embedder,
    /// Tokens that the embedder adds to every text.
    pub added: usize,
    /// Largest size of a piece.
    pub capacity: usize,
    /// Largest size of what stands before a piece.
    pub lead: usize,
}

impl Sizer<'_> {
    /// Tokens of `text` without those that are added to every text, or the tokens that its letters would
    /// be elsewhere, if those are more: an embedder may take any number of letters for one unknown word.
    fn size(&self, text: &str) -> Result<usize, RagError> {
        // At least a sixth of a token for each letter of at most 4 bytes: no need to count a long text.
        let least = text.len() / 24;
        if least > self.capacity {
            return Ok(least);
        }
        let tokens = self.embedder.count_tokens(text)?.saturating_sub(self.added);
        Ok(tokens.max(sixths(text) / 6))
    }

    /// Size that a piece may have, after `lead`.
    fn capacity_after(&self, lead: usize) -> usize {
        self.capacity.saturating_sub(lead).max(self.capacity / 2).max(1)
    }
}

impl TryChunkSizer for Sizer<'_> {
    type Error = RagError;

    fn try_size(&self, chunk: &str) -> Result<usize, RagError> {
        self.size(chunk)
    }
}

/// A sixth of a token for a letter, as English has them at least; half a token where words are not set
/// apart, and a third in words so long that they are none.
fn sixths(text: &str) -> usize {
    let mut word = 0;
    let sixths = text.chars().map(|letter| {
        word = if letter.is_whitespace() { 0 } else { word + 1 };
        match letter {
            // Thai and Lao, Burmese, Khmer, Chinese and Japanese
            '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => 3,
            '\u{3000}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'.. => 3,
            _ if word > 40 => 2,
            _ => 1,
        }
    });
    sixths.sum()
}

/// A block, or a part of one that is too large.
struct Unit {
    range: Range<usize>,
    kind: Kind,
    lead: Option<(Range<usize>, usize)>,
    size: usize,
    /// How strongly the text is cut before it.
    cut: usize,
}

/// Within a block, and between it and what leads to it.
const CUT_WITHIN: usize = 1;
const CUT_SENTENCE: usize = 2;
const CUT_ITEM: usize = 3;
const CUT_BLOCK: usize = 4;

fn cut_before(kind: Kind, previous: Option<Kind>) -> usize {
    match (kind, previous) {
        (Kind::Heading(_), Some(Kind::Heading(_))) => CUT_WITHIN,
        (Kind::Heading(level), _) => CUT_BLOCK + 7 - level.min(6),
        (_, Some(previous)) if previous.leads() => CUT_WITHIN,
        (Kind::Row | Kind::Item, _) => CUT_ITEM,
        _ => CUT_BLOCK,
    }
}

/// Packs `blocks` of `text` into pieces, in order.
pub(super) fn pack(text: &str, blocks: &[Block], sizer: &Sizer) -> Result<Vec<Piece>, RagError> {
    let units = Units::new(text, blocks, sizer)?;
    let mut pieces = Vec::new();
    units.split(0..units.units.len(), &mut pieces);
    pieces
        .retain(|piece| !units.units[piece.clone()].iter().all(|unit| matches!(unit.kind, Kind::Heading(_))));
    units.overlap(&mut pieces);
    let piece = |units: &[Unit]| {
        let (first, last) = (units.first()?, units.last()?);
        let lead = first.lead.as_ref().map(|(range, _)| range.clone());
        Some(Piece { range: first.range.start..last.range.end, lead })
    };
    Ok(pieces.into_iter().filter_map(|range| piece(&units.units[range])).collect())
}

struct Units<'a> {
    sizer: &'a Sizer<'a>,
    units: Vec<Unit>,
    /// The sum of the sizes before each unit, and before the end.
    before: Vec<usize>,
}

impl<'a> Units<'a> {
    fn new(text: &str, blocks: &[Block], sizer: &'a Sizer<'a>) -> Result<Self, RagError> {
        let mut units: Vec<Unit> = Vec::new();
        let mut lead: Option<(Range<usize>, usize)> = None;
        let mut leading = 0; // size of the headings and the like directly before
        let mut previous = None;
        for Block { range, kind, lead: block_lead } in blocks {
            if lead.as_ref().map(|(range, _)| range) != block_lead.as_ref() {
                lead = match block_lead {
                    Some(range) => Some((range.clone(), sizer.size(&text[range.clone()])?)),
                    None => None,
                };
            }
            let lead = lead.clone().filter(|(_, size)| *size <= sizer.lead);
            let size = sizer.size(&text[range.clone()])?;
            let taken = if leading <= sizer.capacity / 2 { leading } else { 0 };
            let room = sizer.capacity_after(taken.max(lead.as_ref().map_or(0, |(_, size)| *size)));
            let mut cut = cut_before(*kind, previous);
            if size <= room {
                units.push(Unit { range: range.clone(), kind: *kind, lead, size, cut });
            } else {
                // A heading this long is none.
                let kind = if kind.leads() { Kind::Paragraph } else { *kind };
                for part in parts(&text[range.clone()], sizer, room)? {
                    let part = range.start + part.start..range.start + part.end;
                    let size = sizer.size(&text[part.clone()])?;
                    units.push(Unit { range: part, kind, lead: lead.clone(), size, cut });
                    cut = CUT_SENTENCE;
                }
            }
            previous = units.last().map(|unit| unit.kind);
            leading = if previous.is_some_and(Kind::leads) { leading + size } else { 0 };
        }
        let mut before = vec![0];
        before.extend(units.iter().scan(0, |sum, unit| {
            *sum += unit.size;
            Some(*sum)
        }));
        Ok(Units { sizer, units, before })
    }

    fn fits(&self, range: &Range<usize>) -> bool {
        let size = self.before[range.end] - self.before[range.start];
        let lead = self.units[range.start].lead.as_ref().map_or(0, |(_, size)| *size);
        size <= self.sizer.capacity_after(lead)
    }

    /// Cuts `range` where its cuts are strongest, and what does not fit again at the next strongest;
    /// neighbours that fit together stay together.
    fn split(&self, range: Range<usize>, pieces: &mut Vec<Range<usize>>) {
        if range.is_empty() {
            return;
        }
        if range.len() == 1 || self.fits(&range) {
            pieces.push(range);
            return;
        }
        let cuts = range.start + 1..range.end;
        let strongest = self.units[cuts.clone()].iter().map(|unit| unit.cut).max();
        let starts = cuts.filter(|at| Some(self.units[*at].cut) == strongest);
        let mut piece = range.start..range.start;
        let mut group = range.start;
        for end in starts.chain([range.end]) {
            if piece.is_empty() || !self.fits(&(piece.start..end)) {
                self.split(piece, pieces);
                piece = group..end;
            } else {
                piece.end = end;
            }
            group = end;
        }
        self.split(piece, pieces);
    }

    /// Lets a piece begin with the last paragraph of the one before it, if that is short.
    fn overlap(&self, pieces: &mut [Range<usize>]) {
        for at in 1..pieces.len() {
            let before = pieces[at - 1].clone();
            let piece = &mut pieces[at];
            let (last, first) = (&self.units[before.end - 1], &self.units[piece.start]);
            let is_short = last.kind == Kind::Paragraph && last.size <= OVERLAP && before.len() > 1;
            if is_short && before.end == piece.start && first.cut == CUT_BLOCK {
                let longer = piece.start - 1..piece.end;
                if self.fits(&longer) {
                    *piece = longer;
                }
            }
        }
    }
}

/// Cuts a block that is too large, at sentences if they fit, else at words, else anywhere.
fn parts(text: &str, sizer: &Sizer, room: usize) -> Result<Vec<Range<usize>>, RagError> {
    let overlap = OVERLAP.min(room / 4);
    let config = ChunkConfig::new(room).with_sizer(*sizer).with_overlap(overlap);
    let config = config.map_err(|error| RagError::Option {
        option: "the embedder's max_tokens",
        value: error.to_string(),
        expected: "at least 4".into(),
    })?;
    let splitter = TextSplitter::new(config);
    let (mut parts, mut start) = (Vec::new(), 0);
    loop {
        let end = text.floor_char_boundary(text.len().min(start + WINDOW));
        let found = splitter.try_chunk_indices(&text[start..end]);
        let found = found.map(|part| part.map(|(at, part)| start + at..start + at + part.len()));
        let mut found = found.collect::<Result<Vec<_>, _>>()?;
        if end == text.len() {
            parts.extend(found);
            return Ok(parts);
        }
        // The end of the window cuts the last part short: the next window begins with it.
        let last = if found.len() > 1 { found.pop() } else { None };
        start = last.map(|last| last.start).filter(|last| *last > start).unwrap_or(end);
        parts.extend(found);
    }
}
