use super::super::batch::Outputs;
use super::*;

/// Computes `tokens` of a sequence, alone.
fn step(ledger: &mut Ledger, id: SequenceId, tokens: &[u32]) -> Result<Vec<PagedSequence>, EngineError> {
    let mut batch = Batch::new();
    batch.push(id, tokens, Outputs::Last);
    let plan = ledger.plan(&batch)?;
    ledger.commit(&batch);
    ledger.check_invariants();
    Ok(plan)
}

/// Text number `kind`: texts of different kinds share nothing.
fn text(kind: u32, len: usize) -> Vec<u32> {
    (0..len as u32).map(|i| 1000 * kind + i).collect()
}

#[test]
fn a_prompt_that_was_computed_before_is_not_computed_again() {
    let mut ledger = Ledger::new(8);
    let prompt = text(1, 2 * BLOCK + 5);
    let first = ledger.open(None, &prompt);
    assert_eq!(ledger.len(first), 0);
    step(&mut ledger, first, &prompt).unwrap();
    assert_eq!(ledger.len(ledger.sequences.keys().copied().next().unwrap()), prompt.len());

    step(&mut ledger, first, &[7]).unwrap(); // full blocks are offered with the next step
    let second = ledger.open(None, &prompt);
    assert_eq!(ledger.len(second), 2 * BLOCK);
    let plan = step(&mut ledger, second, &prompt[2 * BLOCK..]).unwrap();
    assert_eq!((plan[0].past, &plan[0].blocks[..2]), (2 * BLOCK, &[0, 1][..]));
    assert_ne!(plan[0].blocks[2], 2, "the last block is the sequence's own");
    assert_eq!(ledger.len(ledger.sequences.keys().copied().last().unwrap()), prompt.len());

    let other = ledger.open(Some(AdapterId(1)), &prompt);
    assert_eq!(ledger.len(other), 0, "another adapter's keys are other numbers");
    let whole = ledger.open(None, &prompt[..2 * BLOCK]);
    assert_eq!(ledger.len(whole), BLOCK, "one token is left to compute");
}

#[test]
fn idle_blocks_make_room_and_held_ones_stay() {
    let mut ledger = Ledger::new(4);
    for kind in [1, 2] {
        let id = ledger.open(None, &[]);
        step(&mut ledger, id, &text(kind, 2 * BLOCK)).unwrap();
        ledger.close(id);
        ledger.check_invariants();
    }
    assert_eq!((ledger.pool.free(), ledger.available()), (0, 4));
    let held = ledger.open(None, &text(2, 2 * BLOCK + 1));
    assert_eq!(ledger.available(), 2);
    let new = ledger.open(None, &[]);
    step(&mut ledger, new, &text(3, BLOCK + 1)).unwrap(); // text 1 goes
    let error = step(&mut ledger, held, &text(2, 1)).unwrap_err();
    assert!(matches!(error, EngineError::CacheFull { needed: 1, free: 0 }), "{error}");
    ledger.close(held);
    let again = ledger.open(None, &text(2, 2 * BLOCK + 1));
    assert_eq!(ledger.len(again), 2 * BLOCK);
}

#[test]
fn the_same_text_computed_twice_at_once_is_kept_once() {
    let mut ledger = Ledger::new(6);
    let [a, b] = [0, 1].map(|_| ledger.open(None, &[]));
    for id in [a, b] {
        step(&mut ledger, id, &text(1, BLOCK + 1)).unwrap();
    }
    assert_eq!(ledger.available(), 2);
    step(&mut ledger, a, &[5]).unwrap();
    let plan = step(&mut ledger, b, &[6]).unwrap();
    assert_eq!(plan[0].blocks[0], 0, "the block of the first");
    assert_eq!(ledger.available(), 3);
}

#[test]
fn cutting_into_a_shared_block_leaves_it_to_the_others() {
    let mut ledger = Ledger::new(4);
    let prompt = text(1, 2 * BLOCK);
    let a = ledger.open(None, &[]);
    step(&mut ledger, a, &prompt).unwrap();
    assert_eq!(ledger.truncate(a, BLOCK + 4).unwrap(), None, "its own block");
    step(&mut ledger, a, &prompt[BLOCK + 4..]).unwrap();
    step(&mut ledger, a, &[1]).unwrap();
    assert_eq!(ledger.truncate(a, BLOCK + 4).unwrap(), Some((1, 3)));
    ledger.check_invariants();
    assert_eq!(ledger.len(a), BLOCK + 4);
    let b = ledger.open(None, &[&prompt[..], &[9]].concat());
    assert_eq!(ledger.len(b), 2 * BLOCK, "what was offered is still there");
    assert_eq!(ledger.truncate(b, BLOCK).unwrap(), None, "nothing to copy at a block's end");
    ledger.check_invariants();
}

#[test]
fn what_was_planned_but_not_computed_is_not_offered() {
    let mut ledger = Ledger::new(4);
    let id = ledger.open(None, &[]);
    let mut batch = Batch::new();
    batch.push(id, &text(1, BLOCK), Outputs::Last);
    ledger.plan(&batch).unwrap();
    ledger.close(id); // the step failed
    ledger.check_invariants();
    let again = ledger.open(None, &text(1, BLOCK + 1));
    assert_eq!((ledger.len(again), ledger.available()), (0, 4));
}

#[test]
fn an_adapter_that_is_gone_leaves_no_block() {
    let mut ledger = Ledger::new(4);
    let adapter = AdapterId(3);
    let id = ledger.open(Some(adapter), &[]);
    step(&mut ledger, id, &text(1, 2 * BLOCK)).unwrap();
    ledger.close(id);
    assert_eq!(ledger.pool.free(), 2);
    ledger.forget_adapter(adapter);
    ledger.check_invariants();
    assert_eq!(ledger.pool.free(), 4);
}

#[test]
fn a_sequence_has_one_part_in_a_batch() {
    let mut ledger = Ledger::new(4);
    let id = ledger.open(None, &[]);
    let mut batch = Batch::new();
    batch.push(id, &[1, 2], Outputs::None);
    batch.push(id, &[3], Outputs::Last);
    let refused = ledger.plan(&batch).unwrap_err().to_string();
    assert_eq!(refused, "batch: sequence 0 has two parts; push its tokens together");
    assert_eq!((ledger.len(id), ledger.available()), (0, 4), "nothing has changed");
}
