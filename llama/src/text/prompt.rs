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

/// Stop string for answers to [`grounded_prompt`]: the form has no token that ends a turn, so a model that was not
/// trained on it may go on with a question of its own.
pub const GROUNDED_STOP: &str = "\n### ";

/// [`grounded_prompt`] as a Jinja chat template, to go beside an adapter: the last user message is
/// the instruction and the last system message, if any, the context.
///
/// A rendered chat template brings its own special tokens, so where the tokenizer starts every text
/// with BOS (`starts_with_bos`), the template does.
pub fn grounded_template(starts_with_bos: bool) -> String {
    let bos = if starts_with_bos { "{{- bos_token -}}\n" } else { "" };
    format!("{bos}{}", include_str!("prompt/grounded.jinja"))
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};

    use super::*;

    #[test]
    fn the_context_stands_between_instruction_and_response() {
        assert_eq!(grounded_prompt("Hi?", None), "### Instruction:\nHi?\n### Response:\n");
        assert_eq!(
            grounded_prompt("Hi?", Some("Open 9 to 5.")),
            "### Instruction:\nHi?\n### Context:\nOpen 9 to 5.\n### Response:\n"
        );
    }

    /// Renders the template for messages of these roles and contents.
    fn rendered(starts_with_bos: bool, messages: &[(&str, &str)]) -> String {
        let messages: Vec<_> =
            messages.iter().map(|&(role, content)| context! { role => role, content => content }).collect();
        Environment::new()
            .render_str(&grounded_template(starts_with_bos), context! { messages, bos_token => "<s>" })
            .unwrap()
    }

    #[test]
    fn the_template_renders_the_prompt() {
        let question = "Where is\nmy {{ order }}? ";
        assert_eq!(rendered(false, &[("user", question)]), grounded_prompt(question, None));
        assert_eq!(
            rendered(false, &[("system", "Open 9 to 5."), ("user", question)]),
            grounded_prompt(question, Some("Open 9 to 5."))
        );
        let turns = [("user", "Hello"), ("assistant", "Hi."), ("user", question)];
        assert_eq!(rendered(false, &turns), grounded_prompt(question, None), "the last question counts");
        assert_eq!(rendered(true, &turns), format!("<s>{}", grounded_prompt(question, None)));
    }
}
