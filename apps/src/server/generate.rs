//! `server generate`: one prompt, or a file of them.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, anyhow};
use llama::{FinishReason, Message, Request, Sampling, Scheduler, TokenStream};
use serde::Deserialize;
use serde_json::json;

use crate::cli::GenerateArgs;
use crate::load::{self, Loaded};
use crate::openai::random_seed;
use crate::prompt::PromptWriter;

/// Most answers computed at once; they are printed in the order of their prompts.
const SIDE_BY_SIDE: usize = 16;

/// Answers what the command line asks and prints the answers.
///
/// # Errors
/// If something cannot be loaded, a line of the input is not a prompt, or the model fails.
pub fn run(arguments: &GenerateArgs) -> anyhow::Result<()> {
    let questions = match (&arguments.input.prompt, &arguments.input.input) {
        (Some(prompt), _) => vec![("--prompt".to_string(), InputLine::Prompt { prompt: prompt.clone() })],
        (None, Some(file)) => read(file)?,
        (None, None) => return Err(anyhow!("neither --prompt nor --input")), // clap refuses this
    };
    let Loaded { model, prompts, .. } = load::model(&arguments.model, false)?;
    let sampling =
        Sampling { temperature: arguments.temperature, seed: random_seed(), ..Sampling::default() };
    let scheduler = Scheduler::start(model, prompts.tokenizer.clone(), arguments.model.limits())?;

    // Check every prompt before the first is answered.
    let mut requests = VecDeque::new();
    for (place, question) in questions {
        let (prompt, tokens) = question.encode(&prompts, arguments.chat).with_context(|| place.clone())?;
        let request = Request { sampling: sampling.clone(), ..Request::new(tokens, arguments.max_tokens) };
        request.validate(scheduler.context_length(), usize::MAX).with_context(|| place)?;
        requests.push_back((prompt, request));
    }

    let mut under_way: VecDeque<(String, TokenStream)> = VecDeque::new();
    loop {
        while under_way.len() < SIDE_BY_SIDE
            && let Some((prompt, request)) = requests.pop_front()
        {
            under_way.push_back((prompt, scheduler.stream(request)?));
        }
        let Some((prompt, stream)) = under_way.pop_front() else { return Ok(()) };
        match print(&prompt, stream, arguments.json) {
            Err(error) if is_closed_pipe(&error) => return Ok(()), // the reader, such as `head`, has closed the pipe
            printed => printed?,
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A line of the input.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected {\"prompt\": …} or {\"messages\": [{\"role\": …, \"content\": …}]}")]
enum InputLine {
    Prompt { prompt: String },
    Messages { messages: Vec<Message> },
}

impl InputLine {
    /// Its text, as it stands in the output, and its tokens.
    fn encode(&self, prompts: &PromptWriter, chat: bool) -> anyhow::Result<(String, Vec<u32>)> {
        match self {
            Self::Prompt { prompt } if prompt.is_empty() => Err(anyhow!("the prompt is empty")),
            Self::Prompt { prompt } if chat => {
                Ok((prompt.clone(), prompts.chat(&[Message::new("user", prompt)])?))
            }
            Self::Prompt { prompt } => Ok((prompt.clone(), prompts.raw(prompt, true)?)),
            Self::Messages { messages } => {
                let tokens = prompts.chat(messages)?;
                Ok((prompts.tokenizer.decode(&tokens, false), tokens))
            }
        }
    }
}

/// The prompts of a file and their places in it. Empty lines are skipped.
fn read(file: &Path) -> anyhow::Result<Vec<(String, InputLine)>> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| name.to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let questions = lines.map(|(index, line)| {
        let place = format!("{name}:{}", index + 1);
        let question = serde_json::from_str(line).with_context(|| place.clone())?;
        Ok((place, question))
    });
    let questions: Vec<_> = questions.collect::<anyhow::Result<_>>()?;
    if questions.is_empty() {
        return Err(anyhow!("{name}: has no prompt"));
    }
    Ok(questions)
}

/// Prints an answer: its text as it comes, or a line of JSON when it has ended.
fn print(prompt: &str, stream: TokenStream, as_json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let (mut text, mut tokens, mut finish) = (String::new(), 0, None);
    for token in stream {
        let token = token?;
        tokens += 1;
        finish = token.finish;
        if as_json {
            text.push_str(&token.text);
        } else {
            out.write_all(token.text.as_bytes())?;
            out.flush()?;
        }
    }
    if as_json {
        let finish = finish.map(FinishReason::as_str);
        text = json!({"prompt": prompt, "text": text, "tokens": tokens, "finish_reason": finish}).to_string();
    }
    writeln!(out, "{text}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::prompts;

    fn file(text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.jsonl");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn lines_are_prompts_or_conversations() {
        let (_folder, path) =
            file("{\"prompt\": \"Once\"}\n\n{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}\n");
        let questions = read(&path).unwrap();
        let encoded = |index: usize, chat| {
            let (prompt, tokens) = questions[index].1.encode(&prompts(), chat).unwrap();
            (prompt, prompts().tokenizer.decode(&tokens, false))
        };
        assert_eq!(encoded(0, false), ("Once".into(), "Once".into()));
        assert_eq!(encoded(0, true), ("Once".into(), "user: Once\n".into()));
        assert_eq!(encoded(1, false), ("user: Hi\n".into(), "user: Hi\n".into()));
    }

    #[test]
    fn a_bad_line_is_named_by_file_and_number() {
        for line in ["nonsense", "{\"text\": \"x\"}", "{\"prompt\": 3}", "{\"messages\": [{}]}"] {
            let (_folder, path) = file(&format!("{{\"prompt\": \"x\"}}\n{line}\n"));
            let message = format!("{:#}", read(&path).unwrap_err());
            assert!(message.contains("in.jsonl:2: "), "{message}");
        }
        let (_folder, path) = file("\n");
        assert!(read(&path).unwrap_err().to_string().ends_with("in.jsonl: has no prompt"));
        assert!(read(Path::new("missing.jsonl")).unwrap_err().to_string().contains("missing.jsonl"));
        let empty = InputLine::Prompt { prompt: String::new() };
        assert_eq!(empty.encode(&prompts(), false).unwrap_err().to_string(), "the prompt is empty");
    }
}
