//! How well a model predicts a text, window by window as llama.cpp's llama-perplexity measures it.

use std::fs;

use anyhow::{Context, Result, ensure};
use engine::{Example, Nll};
use llama::model::checkpoint::WeightForm;
use llama::{Adapter, Model};
use serde::Serialize;

use crate::base::warn_of_other_base;
use crate::cli::PerplexityArgs;
use crate::encoder::Encoder;

/// The result as JSON.
#[derive(Debug, Serialize)]
struct PerplexityReport {
    perplexity: f64,
    /// Mean negative log-likelihood of a scored token, in nats.
    nll: f64,
    /// Tokens that were scored.
    tokens: usize,
}

/// `trainer perplexity`.
pub fn run(args: &PerplexityArgs) -> Result<()> {
    let text = fs::read_to_string(&args.file).with_context(|| format!("--file {}", args.file.display()))?;
    let device = engine::device::parse(&args.device)?;
    let form = if args.exact { WeightForm::F32 } else { WeightForm::Stored };
    let Model { mut llama, tokenizer, path, .. } = Model::open_in(&args.model, form, &device)?;
    if let Some(dir) = &args.adapter {
        Adapter::load_onto(dir, &mut llama, &path)?;
        warn_of_other_base(dir, &path);
    }
    let longest = llama.config().max_position_embeddings;
    ensure!(args.context <= longest, "--context {}: the model reads at most {longest} tokens", args.context);

    let encoder = Encoder::new(&tokenizer)?;
    let tokens = encoder.tokens(&text)?;
    let windows = windows(&tokens, args.context, encoder.bos);
    ensure!(
        !windows.is_empty(),
        "--file {}: its {} tokens are less than one window of --context {}",
        args.file.display(),
        tokens.len(),
        args.context
    );
    let mut total = Nll::default();
    for window in windows {
        let nll = llama.nll(&[window])?;
        total.sum += nll.sum;
        total.tokens += nll.tokens;
    }
    let report = PerplexityReport { perplexity: total.perplexity(), nll: total.mean(), tokens: total.tokens };
    match args.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => println!("perplexity {:.4} over {} tokens", report.perplexity, report.tokens),
    }
    Ok(())
}

/// Every full window of `context` tokens; what is left over is dropped. A window's first half is only
/// read, so that every scored token has at least that much before it. Where texts start with BOS, each
/// window does, in place of its first token.
fn windows(tokens: &[u32], context: usize, bos: Option<u32>) -> Vec<Example> {
    let learned: Vec<bool> = (0..context).map(|position| position > context / 2).collect();
    let window = |window: &[u32]| {
        let mut tokens = window.to_vec();
        if let (Some(first), Some(bos)) = (tokens.first_mut(), bos) {
            *first = bos;
        }
        Example { tokens, learned: learned.clone() }
    };
    tokens.chunks_exact(context).map(window).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_half_of_each_full_window_is_scored() {
        let windows = windows(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 4, None);
        assert_eq!(windows.len(), 2);
        assert_eq!(windows[1].tokens, [5, 6, 7, 8]);
        assert_eq!(windows[1].learned, [false, false, false, true]);
        let scored = |context: usize| self::windows(&vec![0; context], context, None)[0].learned_tokens();
        assert_eq!((scored(512), scored(511)), (255, 255));
    }

    #[test]
    fn bos_takes_the_first_tokens_place() {
        assert_eq!(windows(&[1, 2, 3, 4, 5, 6, 7, 8], 4, Some(0))[1].tokens, [0, 6, 7, 8]);
    }
}
