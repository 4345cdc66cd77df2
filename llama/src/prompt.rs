//! The prompt that the trainer teaches and the server writes.

/// An instruction in the `### Instruction:` / `### Response:` form of Stanford Alpaca, with the text
/// that the answer is to be grounded in, if there is any.
///
/// It ends where the response begins. Training and serving call this one function, so that a model is
/// asked in the very form that it was taught.
pub fn grounded_prompt(instruction: &str, context: Option<&str>) -> String {
    match context {
        None => format!("### Instruction:\n{instruction}\n### Response:\n"),
        Some(context) => {
            format!("### Instruction:\n{instruction}\n### Context:\n{context}\n### Response:\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::grounded_prompt;

    #[test]
    fn has_a_context_only_if_there_is_one() {
        assert_eq!(grounded_prompt("Hi?", None), "### Instruction:\nHi?\n### Response:\n");
        assert_eq!(
            grounded_prompt("Hi?", Some("Greet.")),
            "### Instruction:\nHi?\n### Context:\nGreet.\n### Response:\n"
        );
    }
}
