//! What templates may rely on, in the environment of Hugging Face's `apply_chat_template`.

use super::*;

fn render(source: &str) -> Result<String, TemplateError> {
    let messages = [Message::new("user", " Hi & <bye> "), Message::new("assistant", "Hello")];
    ChatTemplate::new(source, "<s>", "</s>")?.render(&messages, true)
}

#[test]
fn a_template_sees_the_conversation_and_the_special_tokens() {
    let source = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m.content }}{{ eos_token }}{% endfor %}\
                  {% if add_generation_prompt %}>{% endif %}{% if tools is none %}!{% endif %}";
    assert_eq!(render(source).unwrap(), "<s>[user] Hi & <bye> </s>[assistant]Hello</s>>!");
}

#[test]
fn blocks_take_their_own_lines_away() {
    let source = "{% for m in messages %}\n  {% if m.role == 'user' %}\nQ\n  {% else %}\nA\n  {% endif %}\n{% endfor %}\n";
    assert_eq!(render(source).unwrap(), "Q\nA\n");
}

#[test]
fn pythons_methods_work() {
    let source = "{{ messages[0].content.strip() }}|{{ 'a,b'.split(',')[-1] }}|{{ 'x'.upper().startswith('X') }}\
                  |{{ messages[-1].get('content').replace('l', 'L') }}|{{ messages[1:]|length }}";
    assert_eq!(render(source).unwrap(), "Hi & <bye>|b|True|HeLLo|1");
}

#[test]
fn loops_can_be_left() {
    let source = "{% for i in range(9) %}{% if i == 1 %}{% continue %}{% endif %}{% if i > 2 %}{% break %}{% endif %}{{ i }}{% endfor %}";
    assert_eq!(render(source).unwrap(), "02");
}

#[test]
fn generation_blocks_print_what_is_in_them() {
    let source = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}";
    assert_eq!(render(source).unwrap(), " Hi & <bye> Hello");
}

#[test]
fn json_is_not_escaped_for_html() {
    assert_eq!(render("{{ messages[0]|tojson }}").unwrap(), r#"{"role": "user", "content": " Hi & <bye> "}"#);
}

#[test]
fn a_date_is_a_date() {
    let date = render("{{ strftime_now('%Y-%m-%d') }}").unwrap();
    assert!(date.len() == 10 && date.starts_with('2'), "{date}");
}

#[test]
fn a_refusal_is_the_templates_own_text() {
    let message = "Conversation roles must alternate user/assistant/user/assistant/...";
    for source in [
        format!("{{{{ raise_exception('{message}') }}}}"),
        format!(
            "{{% macro check() %}}{{{{ raise_exception('{message}') }}}}{{% endmacro %}}{{{{ check() }}}}"
        ),
    ] {
        let error = render(&source).unwrap_err();
        assert!(matches!(error, TemplateError::Refused(_)), "{error:?}");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn errors_are_one_line() {
    let syntax = render("{% for %}").unwrap_err();
    assert!(matches!(syntax, TemplateError::Syntax(_)), "{syntax:?}");
    let failed = render("{{ messages[0].content.nothing() }}").unwrap_err();
    assert!(matches!(failed, TemplateError::Render(_)), "{failed:?}");
    for error in [syntax, failed] {
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn more_variables_can_be_given() {
    let template =
        ChatTemplate::new("{{ enable_thinking }}{{ messages|length }}{{ tools }}", "", "").unwrap();
    let variables = serde_json::json!({"enable_thinking": false, "messages": [1, 2], "tools": ["t"]});
    assert_eq!(template.render_with(&[], false, variables).unwrap(), "False2['t']");
}
