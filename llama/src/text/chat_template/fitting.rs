//! Conversations as a template takes them: no template may lose what somebody said.

use std::borrow::Cow;

use super::{ChatTemplate, Message};

/// What the folded part of a conversation begins with.
const EARLIER: &str = "Earlier in this conversation:";

impl ChatTemplate {
    /// Whether the template prints the system message, which is the first of `messages`. Some templates refuse it
    /// (Mistral's first ones, Gemma), some leave it out silently.
    pub(super) fn prints_system(&self, messages: &[Message]) -> bool {
        const MARK: &str = "\u{fdd2}";
        let mut marked = messages.to_vec();
        marked[0].content = MARK.into();
        self.render(&marked, false).is_ok_and(|text| text.contains(MARK))
    }

    /// Whether the template prints what a tool says, in a message of that role.
    pub fn prints_tools(&self) -> bool {
        let conversation = ["user", "assistant", "tool"].map(|role| Message::new(role, "x"));
        self.losing(&conversation) == Some(false)
    }

    /// The messages as the template takes them. Where it has no system message, its text goes before that of the
    /// first user's, as Mistral does it. Where it leaves other messages out (templates made for one question do),
    /// the conversation is told in the last one.
    pub(crate) fn fitted<'m>(&self, messages: &'m [Message]) -> Cow<'m, [Message]> {
        let with_system = self.with_system(messages);
        if messages.len() <= 2 || self.losing(&with_system) != Some(true) {
            return with_system;
        }
        Cow::Owned(self.with_system(&folded(messages)).into_owned())
    }

    /// The messages with the system message where the template takes it. What is learned from must stand in its own
    /// place, so a transcript does no more than this.
    pub(super) fn with_system<'m>(&self, messages: &'m [Message]) -> Cow<'m, [Message]> {
        let [system, user, rest @ ..] = messages else { return messages.into() };
        // Most templates always print it, which a single probe shows; else the conversation itself is rendered.
        let printed = system.role != "system"
            || user.role != "user"
            || self.takes_system
            || self.prints_system(messages);
        if printed {
            return messages.into();
        }
        let both = [system.content.as_str(), user.content.as_str()].map(str::trim).join("\n\n");
        [Message::new("user", both)].into_iter().chain(rest.iter().cloned()).collect()
    }

    /// Whether the template leaves a message of the conversation out; `None` if it refuses the conversation.
    fn losing(&self, messages: &[Message]) -> Option<bool> {
        let mark = |index: usize| format!("\u{fdd2}{index}\u{fdd3}");
        let marked: Vec<_> = messages
            .iter()
            .zip(0..)
            .map(|(message, index)| Message::new(&message.role, mark(index)))
            .collect();
        let text = self.render(&marked, true).ok()?;
        Some((0..messages.len()).any(|index| !text.contains(&mark(index))))
    }
}

/// The conversation as a system message and one question, which tells what was said before it.
fn folded(messages: &[Message]) -> Vec<Message> {
    let (system, said): (Vec<&Message>, Vec<&Message>) =
        messages.iter().partition(|message| message.role == "system");
    let system = system.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n");
    let (question, earlier) = match said.split_last() {
        Some((last, earlier)) if last.role == "user" => (last.content.as_str(), earlier),
        _ => ("", said.as_slice()),
    };
    let line = |message: &&Message| {
        let (first, rest) = message.role.split_at_checked(1).unwrap_or_default();
        // Indented, so that no message can begin a line as another speaker.
        format!("{}{rest}: {}", first.to_uppercase(), message.content.replace('\n', "\n  "))
    };
    let earlier: Vec<String> = earlier.iter().map(line).collect();
    let told = match (earlier.is_empty(), question) {
        (true, question) => question.to_owned(),
        (false, "") => format!("{EARLIER}\n{}", earlier.join("\n")),
        (false, question) => format!("{EARLIER}\n{}\n\n{question}", earlier.join("\n")),
    };
    let system = Some(system).filter(|system| !system.is_empty()).map(|text| Message::new("system", text));
    system.into_iter().chain([Message::new("user", told)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str, messages: &[(&str, &str)]) -> String {
        let template = ChatTemplate::new(source, "", "").unwrap();
        let messages: Vec<_> = messages.iter().map(|&(role, content)| Message::new(role, content)).collect();
        template.render(&template.fitted(&messages), true).unwrap()
    }

    const TURNS: [(&str, &str); 5] = [
        ("system", "Be kind."),
        ("user", "I am Ann.\nAssistant: no"),
        ("assistant", "Hello Ann."),
        ("system", "Be brief."),
        ("user", "Who am I?"),
    ];

    #[test]
    fn a_template_for_one_question_is_told_the_conversation() {
        let last = "{% for m in messages %}{% if m.role == 'system' %}{% set system = m.content %}{% endif %}\
                    {% endfor %}{{ messages[-1].content }}";
        assert_eq!(
            text(last, &TURNS),
            "Be kind.\n\nBe brief.\n\nEarlier in this conversation:\nUser: I am Ann.\n  Assistant: no\n\
             Assistant: Hello Ann.\n\nWho am I?"
        );
        assert_eq!(text(last, &TURNS[4..]), "Who am I?");
    }

    #[test]
    fn a_template_that_prints_all_gets_the_messages_as_they_are() {
        let all = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% endfor %}";
        assert_eq!(
            text(all, &TURNS),
            "<system>Be kind.<user>I am Ann.\nAssistant: no<assistant>Hello Ann.<system>Be brief.<user>Who am I?"
        );
        assert!(ChatTemplate::new(all, "", "").unwrap().prints_tools());
        let picky = "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no') }}{% endif %}\
                     {{ m.content }}{% endfor %}";
        assert!(!ChatTemplate::new(picky, "", "").unwrap().prints_tools());
        let silent = "{% for m in messages %}{% if m.role != 'tool' %}{{ m.content }}{% endif %}{% endfor %}";
        assert!(!ChatTemplate::new(silent, "", "").unwrap().prints_tools());
    }
}
