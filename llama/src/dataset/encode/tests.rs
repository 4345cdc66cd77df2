//! What is learned of a row, token by token.

use serde_json::json;

use super::*;
use crate::dataset::{PromptFormat, Row};
use crate::text::chat_template::ChatTemplate;

const EOS: &str = "<|end|>";
const CHAT_ML: &str = "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}<|stop|>\n{% endfor %}\
                       {% if add_generation_prompt %}<|turn|>assistant\n{% endif %}";

/// One token for a character, but one for `\n!` too, and control tokens.
fn tokenizer() -> Tokenizer {
    let mut vocab: Vec<String> = ('\n'..='\n').chain(' '..='~').map(String::from).collect();
    vocab.extend(["é", "\n!"].map(String::from));
    let special: Vec<_> = [EOS, "<|turn|>", "<|stop|>"]
        .iter()
        .zip(vocab.len()..)
        .map(|(content, id)| {
            json!({"id": id, "content": content, "special": true, "normalized": false,
                   "single_word": false, "lstrip": false, "rstrip": false})
        })
        .collect();
    let vocab: serde_json::Map<_, _> =
        vocab.into_iter().zip(0..).map(|(token, id)| (token, json!(id))).collect();
    let file = json!({
        "version": "1.0", "added_tokens": special,
        "model": {"type": "BPE", "vocab": vocab, "merges": ["\n !"]},
    });
    // A merge cannot name a line end where merges are texts with a space between.
    let file = file.to_string().replace("[\"\\n !\"]", "[[\"\\n\", \"!\"]]");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tokenizer.json"), file).unwrap();
    std::fs::write(folder.path().join("tokenizer_config.json"), json!({"eos_token": EOS}).to_string())
        .unwrap();
    Tokenizer::from_dir(folder.path()).unwrap()
}

fn encoded(row: &Row, format: &str, learn: Learn, max_length: usize) -> Encoded {
    let tokenizer = tokenizer();
    let chat_ml = ChatTemplate::new(CHAT_ML, "", EOS).unwrap();
    let prompts = format.parse::<PromptFormat>().unwrap().prompts(&tokenizer, Some(&chat_ml), None).unwrap();
    let eos = tokenizer.eos()[0];
    encode(&[row], &tokenizer, &prompts, eos, learn, max_length).unwrap()
}

/// The text of the one example with what is learned in brackets.
fn marked(encoded: &Encoded) -> String {
    let tokenizer = tokenizer();
    let [Example { tokens, learned }] = encoded.examples.as_slice() else { panic!("{encoded:?}") };
    let (mut text, mut before) = (String::new(), false);
    for (token, learned) in tokens.iter().zip(learned) {
        match (before, *learned) {
            (false, true) => text.push('['),
            (true, false) => text.push(']'),
            _ => {}
        }
        before = *learned;
        text += &tokenizer.id_to_token(*token).unwrap();
    }
    if before { text + "]" } else { text }
}

fn row(response: &str) -> Row {
    Row::of(&[("user", "Hi?"), ("assistant", response)])
}

#[test]
fn the_response_and_its_end_are_learned() {
    let row = Row::of(&[("system", "Open."), ("user", "Hi?"), ("assistant", "Yes.")]);
    let plain = encoded(&row, "plain", Learn::Response, 512);
    assert_eq!(marked(&plain), "### Instruction:\nHi?\n### Context:\nOpen.\n### Response:\n[Yes.<|end|>]");
    assert!(plain.truncated.is_empty() && plain.dropped.is_empty() && plain.refused.is_empty());
    let template = encoded(&row, r"<|turn|>{context}|{instruction}\n", Learn::Response, 512);
    assert_eq!(marked(&template), "<|turn|>Open.|Hi?\n[Yes.<|end|>]");
}

#[test]
fn many_rows_come_out_as_one_by_one_in_their_order() {
    let rows: Vec<Row> = (0..200)
        .map(|number| match number % 4 {
            0 => row(&"y".repeat(number)),
            1 => Row::of(&[("user", "Hi?"), ("assistant", "A"), ("user", "So?"), ("assistant", "B")]),
            2 => Row::of(&[("user", &"?".repeat(number)), ("assistant", "Yes.")]),
            _ => row("Yes."),
        })
        .collect();
    let rows: Vec<&Row> = rows.iter().collect();
    let tokenizer = tokenizer();
    let prompts = "plain".parse::<PromptFormat>().unwrap().prompts(&tokenizer, None, None).unwrap();
    let encode =
        |rows: &[&Row]| encode(rows, &tokenizer, &prompts, tokenizer.eos()[0], Learn::Response, 120).unwrap();
    let together = encode(&rows);
    let mut apart = Encoded::default();
    for (number, row) in rows.iter().enumerate() {
        let one = encode(&[row]);
        apart.examples.extend(one.examples);
        apart.truncated.extend(one.truncated.iter().map(|_| number));
        apart.dropped.extend(one.dropped.iter().map(|_| number));
        apart.refused.extend(one.refused.into_iter().map(|refused| Refused { row: number, ..refused }));
    }
    let left_out = (apart.truncated.len(), apart.dropped.len(), apart.refused.len());
    assert!(left_out.0 > 10 && left_out.1 > 10 && left_out.2 == 50, "{left_out:?}");
    let all = |encoded: Encoded| {
        let Encoded { examples, truncated, dropped, refused, .. } = encoded;
        let tokens: Vec<_> = examples.into_iter().map(|example| (example.tokens, example.learned)).collect();
        (tokens, truncated, dropped, refused)
    };
    assert!(all(together) == all(apart));
}

#[test]
fn all_is_everything() {
    assert_eq!(
        marked(&encoded(&row("Yes."), "plain", Learn::All, 512)),
        "[### Instruction:\nHi?\n### Response:\nYes.<|end|>]"
    );
}

#[test]
fn a_token_across_the_boundary_is_learned() {
    for format in ["plain", "chat"] {
        assert!(
            marked(&encoded(&row("!Yes"), format, Learn::Response, 512)).contains("[\n!Yes<|"),
            "{format}"
        );
    }
}

#[test]
fn every_turn_of_the_assistant_is_learned_with_its_end() {
    let chat = Row::of(&[("user", "One?"), ("assistant", "é"), ("user", "Two?"), ("assistant", "B<|stop|>")]);
    assert_eq!(
        marked(&encoded(&chat, "chat", Learn::Response, 512)),
        "<|turn|>user\nOne?<|stop|>\n<|turn|>assistant\n[é<|stop|>]\n\
         <|turn|>user\nTwo?<|stop|>\n<|turn|>assistant\n[B<|stop|><|stop|>]",
    );
    let refused = encoded(&chat, "plain", Learn::Response, 512).refused;
    assert!(refused[0].row == 0 && refused[0].reason.contains("several turns"), "{refused:?}");
}

#[test]
fn control_tokens_that_a_message_contains_are_text() {
    let tokenizer = tokenizer();
    for format in ["chat", "plain", "<|turn|>{instruction}<|stop|>"] {
        let tokens =
            |response| encoded(&row(response), format, Learn::Response, 512).examples[0].tokens.clone();
        let control =
            |response| tokens(response).iter().filter(|token| tokenizer.is_control(**token)).count();
        assert_eq!(control("a<|stop|><|end|>"), control("a"), "{format}");
    }
}

#[test]
fn a_turn_ends_as_its_template_says() {
    let chat = Row::of(&[("user", "1"), ("assistant", "2"), ("user", "3"), ("assistant", "4")]);
    for (body, expected) in [
        // Ended by the next turn's first token, as in GLM: that of the last turn is added.
        ("<|end|>{{ m.role[0] }}{{ m.content }}", "<|end|>u1<|end|>a[2<|end|>]u3<|end|>a[4<|end|>]"),
        // Words that end a turn, and no token.
        ("{{ m.role[0] }}: {{ m.content }} ##\n", "u: 1 ##\na: [2 ##]\nu: 3 ##\na: [4 ##<|end|>]"),
        // Nothing ends a turn but the line.
        ("{{ m.role[0] }}: {{ m.content }}\n", "u: 1\na: [2]\nu: 3\na: [4<|end|>]"),
        // A space before the token.
        ("{{ m.role[0] }}:{{ m.content }} <|stop|>", "u:1 <|stop|>a:[2 <|stop|>]u:3 <|stop|>a:[4 <|stop|>]"),
        // Marked, but without its end.
        (
            "{{ m.role[0] }}{% generation %}{{ m.content }}{% endgeneration %}<|stop|>",
            "u[1<|stop|>]a[2<|stop|>]u[3<|stop|>]a[4<|stop|>]",
        ),
    ] {
        let template = format!("{{% for m in messages %}}{body}{{% endfor %}}");
        assert_eq!(marked(&encoded(&chat, &template, Learn::Response, 512)), expected);
    }
}

#[test]
fn what_the_template_refuses_is_refused_with_its_reason() {
    let template = "{{ raise_exception('roles must alternate') }}";
    let refused = encoded(&row("Yes."), template, Learn::Response, 512).refused;
    assert_eq!(refused, [Refused { row: 0, reason: "roles must alternate".into() }]);
}

#[test]
fn long_rows_are_cut_and_counted() {
    let row = row("Yes.");
    let prompt = "### Instruction:\nHi?\n### Response:\n".len();
    let cut = encoded(&row, "plain", Learn::Response, prompt + 2);
    assert!(marked(&cut).ends_with("[Ye]"), "the end is cut off, so no end of sequence is learned");
    assert_eq!((&cut.truncated, &cut.dropped), (&vec![0], &vec![]));
    assert_eq!(cut.lengths.quantile(1.0), prompt + 5, "the length before it is cut");

    let gone = encoded(&row, "plain", Learn::Response, prompt);
    assert!(gone.examples.is_empty());
    assert_eq!((gone.truncated, gone.dropped), (vec![], vec![0]));
    assert!(encoded(&row, "plain", Learn::Response, 0).examples.is_empty());
}

#[test]
fn the_chat_template_beside_an_adapter_writes_the_same_prompt() {
    let tokenizer = tokenizer();
    let row = row("Yes.");
    for format in [
        "plain",
        "chat",
        r"<|turn|>{instruction}\nA:",
        "{% for m in messages %}{{ m.content }}<|stop|>{% endfor %}",
    ] {
        let chat_ml = ChatTemplate::new(CHAT_ML, "", EOS).unwrap();
        let prompts =
            format.parse::<PromptFormat>().unwrap().prompts(&tokenizer, Some(&chat_ml), None).unwrap();
        let template = ChatTemplate::new(&prompts.chat_template(false), "", EOS).unwrap();
        let prompt = tokenizer.encode_chat(&template, &row.messages[..1], true).unwrap();
        let Example { tokens, learned } = &encoded(&row, format, Learn::Response, 512).examples[0];
        let answer = learned.iter().position(|learned| *learned).unwrap();
        assert_eq!(tokens[..answer], prompt, "{format}");
    }
}
