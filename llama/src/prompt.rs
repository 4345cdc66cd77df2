//! The prompt forms that adapters are trained on and served with.

/// The instruction form, with the passages the answer should rest on where there are any:
///
/// ```text
/// ### Instruction:
/// {instruction}
/// ### Context:
/// {context}
/// ### Response:
/// ```
///
/// The answer starts on the line after `### Response:`.
pub fn grounded_prompt(instruction: &str, context: Option<&str>) -> String {
    match context {
        Some(context) => {
            format!("### Instruction:\n{instruction}\n### Context:\n{context}\n### Response:\n")
        }
        None => format!("### Instruction:\n{instruction}\n### Response:\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_stands_between_instruction_and_response() {
        assert_eq!(grounded_prompt("Hi?", None), "### Instruction:\nHi?\n### Response:\n");
        assert_eq!(
            grounded_prompt("Hi?", Some("Open 9 to 5.")),
            "### Instruction:\nHi?\n### Context:\nOpen 9 to 5.\n### Response:\n"
        );
    }
}
