//! Python's `%` between a string and its arguments, and `~` as Python's `str` writes its sides.
//!
//! `minijinja` knows `%` for numbers only and has no hook for an operator, so the template's source is changed before it
//! is compiled: `'%s' % name` becomes `'%s'|__mod__(name)`, `a ~ b` becomes `a|string ~ b|string`. Where an operator's
//! sides are not a plain operand (a power, a sign, another product) it is left: `minijinja` then refuses a string there.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, ErrorKind, State, Value, context};

use super::python_values::{as_repr, as_str};

/// The filter that stands for `%`: Python's own name of the operator.
pub(super) const REMAINDER: &str = "__mod__";

/// `left % right`: a string with its arguments filled in, or a remainder.
pub(super) fn remainder(state: &State, left: Value, right: Value) -> Result<Value, Error> {
    let Some(template) = left.as_str() else {
        return state.env().compile_expression("left % right")?.eval(context! { left, right });
    };
    let arguments = match right.is_tuple() {
        true => right.try_iter()?.collect(),
        false => vec![right],
    };
    filled(template, &arguments).map(Value::from)
}

/// Jinja2's `format` filter, which is `%` with what it is given.
pub(super) fn format_filter(template: Value, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    filled(&as_str(&template), &arguments.into_values()).map(Value::from)
}

/// Python's `template % tuple(arguments)`.
pub(super) fn filled(template: &str, arguments: &[Value]) -> Result<String, Error> {
    let error = |message: String| Error::new(ErrorKind::InvalidOperation, message);
    let mut arguments = arguments.to_vec();
    let (mut adapted, mut rest, mut taken) = (String::new(), template, 0);
    while let Some(at) = rest.find('%') {
        let spec = &rest[at + 1..];
        let keyed = spec.starts_with('(');
        let after_key = if keyed { spec.find(')').map_or(spec.len(), |end| end + 1) } else { 0 };
        let flags = spec[after_key..].trim_start_matches(['#', '0', '-', ' ', '+']);
        let width = flags.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
        let conversion = width.chars().next().ok_or_else(|| error("incomplete format".into()))?;
        let end = at + 1 + (spec.len() - width.len()) + conversion.len_utf8();
        let last = rest[..end].len() - conversion.len_utf8();
        match conversion {
            '%' => {}
            'r' | 's' if keyed => {
                if conversion == 'r' {
                    return Err(error("`%(name)r` is not supported; use `%(name)s`".into()));
                }
            }
            'r' | 's' => {
                if let Some(argument) = arguments.get_mut(taken) {
                    *argument =
                        Value::from(if conversion == 'r' { as_repr(argument) } else { as_str(argument) });
                }
                taken += 1;
            }
            _ if keyed => {}
            _ => taken += 1,
        }
        adapted.push_str(&rest[..last]);
        adapted.push(if conversion == 'r' { 's' } else { conversion });
        rest = &rest[end..];
    }
    adapted.push_str(rest);
    let by_name = matches!(arguments.as_slice(), [only] if only.kind() == ValueKind::Map);
    if taken < arguments.len() && !by_name {
        return Err(error(format!(
            "not all arguments converted during string formatting: {} given, `{template}` takes {taken}",
            arguments.len()
        )));
    }
    format(FormatStyle::Printf, &adapted, &arguments)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Name,
    Number,
    Text,
    Open,
    Close,
    Operator,
}

#[derive(Debug, Clone, Copy)]
struct Token<'s> {
    kind: Kind,
    text: &'s str,
    start: usize,
    /// Of a bracket: the index of its other half.
    partner: usize,
}

impl Token<'_> {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// Names that are no operands.
const KEYWORDS: [&str; 20] = [
    "if",
    "elif",
    "else",
    "not",
    "in",
    "and",
    "or",
    "is",
    "for",
    "set",
    "print",
    "do",
    "call",
    "filter",
    "include",
    "import",
    "from",
    "with",
    "recursive",
    "as",
];

/// `source` with every `%` and `~` whose sides are plain operands as filters.
pub(super) fn as_filters(source: &str) -> String {
    let mut edits: Vec<(usize, usize, String)> = Vec::new();
    for (start, end) in expressions(source) {
        let Some(tokens) = tokens(source, start, end) else { continue };
        // The last token of the last `%` that became a filter: the next may follow it, from left to right.
        let mut filtered = None;
        for (at, token) in tokens.iter().enumerate() {
            match token.text {
                "%" if token.kind == Kind::Operator => {
                    let chained = at.checked_sub(1).filter(|last| filtered == Some(*last));
                    let Some((first, _)) =
                        chained.map(|last| (last, last)).or_else(|| operand_before(&tokens, at))
                    else {
                        continue;
                    };
                    let Some(last) = operand_after(&tokens, at) else { continue };
                    // A remainder by a number is `minijinja`'s, unless a string stands before it.
                    let by_number = last == at + 1 && tokens[last].kind == Kind::Number;
                    if by_number && tokens[first].kind != Kind::Text && chained.is_none() {
                        continue;
                    }
                    filtered = Some(last);
                    edits.push((token.start, token.end(), format!("|{REMAINDER}(")));
                    edits.push((tokens[last].end(), tokens[last].end(), ")".into()));
                }
                "~" if token.kind == Kind::Operator => {
                    if let Some((_, last)) = operand_before(&tokens, at) {
                        edits.push((tokens[last].end(), tokens[last].end(), "|string".into()));
                    }
                    if let Some(last) = operand_after(&tokens, at) {
                        edits.push((tokens[last].end(), tokens[last].end(), "|string".into()));
                    }
                }
                _ => {}
            }
        }
    }
    // What closes an argument comes before what is appended to the operand around it.
    edits.sort_by_key(|(start, end, text)| (*start, *end, text != ")"));
    edits.dedup_by(|one, other| one == other && one.2 == "|string");
    let (mut out, mut copied) = (String::with_capacity(source.len()), 0);
    for (start, end, text) in edits {
        out.push_str(&source[copied..start]);
        out.push_str(&text);
        copied = end;
    }
    out.push_str(&source[copied..]);
    out
}

/// Where the insides of the tags of `source` lie; comments and raw blocks are left out.
fn expressions(source: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = source[at..].find('{').map(|offset| at + offset) {
        at = open + 1;
        let tag = &source[open..];
        if tag.starts_with("{#") {
            at = tag.find("#}").map_or(source.len(), |end| open + end + 2);
        } else if tag.starts_with("{{") || tag.starts_with("{%") {
            let closing = if tag.starts_with("{{") { "}}" } else { "%}" };
            let Some(end) = tag_end(source, open + 2, closing) else { return found };
            let inside = source[open + 2..end].trim_matches(['-', '+']).trim();
            // Signs beside the braces take space away and are no operators.
            let sign = |letter: Option<char>| usize::from(matches!(letter, Some('-' | '+')));
            let content = &source[open + 2..end];
            let (first, last) = (sign(content.chars().next()), sign(content.chars().next_back()));
            if first + last <= content.len() {
                found.push((open + 2 + first, end - last));
            }
            at = end + 2;
            if closing == "%}" && inside == "raw" {
                let Some(end) = source[at..].find("endraw") else { return found };
                at += end;
            }
        }
    }
    found
}

/// Where the tag that is open at `start` ends, strings and nested braces passed over.
fn tag_end(source: &str, start: usize, closing: &str) -> Option<usize> {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(letter) = source[at..].chars().next() {
        match letter {
            '\'' | '"' => at = string_end(source, at)?,
            _ if depth == 0 && source[at..].starts_with(closing) => return Some(at),
            '{' => (depth, at) = (depth + 1, at + 1),
            '}' => (depth, at) = (depth.saturating_sub(1), at + 1),
            _ => at += letter.len_utf8(),
        }
    }
    None
}

/// The end of the string that starts at `start`.
fn string_end(source: &str, start: usize) -> Option<usize> {
    let quote = source[start..].chars().next()?;
    let mut letters = source[start..].char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if letter == quote {
            return Some(start + at + 1);
        }
    }
    None
}

/// The tokens of `source[start..end]`; none if its brackets do not pair.
fn tokens(source: &str, start: usize, end: usize) -> Option<Vec<Token<'_>>> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let (mut open, mut at) = (Vec::new(), start);
    while let Some(letter) = source[at..end].chars().next() {
        let rest = &source[at..end];
        let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
        let (kind, length) = match letter {
            _ if letter.is_whitespace() => {
                at += letter.len_utf8();
                continue;
            }
            '\'' | '"' => (Kind::Text, string_end(source, at)? - at),
            '0'..='9' => {
                let word = rest.find(|letter: char| !is_word(letter)).unwrap_or(rest.len());
                // `1.5` is a number, `1.x` and `x.1` are not.
                let fraction =
                    rest[word..].strip_prefix('.').filter(|_| !after_dot(&tokens)).map_or(0, |digits| {
                        digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len())
                    });
                (Kind::Number, if fraction > 0 { word + 1 + fraction } else { word })
            }
            _ if is_word(letter) => {
                (Kind::Name, rest.find(|letter: char| !is_word(letter)).unwrap_or(rest.len()))
            }
            '(' | '[' | '{' => (Kind::Open, 1),
            ')' | ']' | '}' => (Kind::Close, 1),
            _ if ["**", "//", "==", "!=", "<=", ">="].iter().any(|operator| rest.starts_with(operator)) => {
                (Kind::Operator, 2)
            }
            _ => (Kind::Operator, letter.len_utf8()),
        };
        let mut token = Token { kind, text: &source[at..at + length], start: at, partner: 0 };
        match kind {
            Kind::Open => open.push(tokens.len()),
            Kind::Close => {
                token.partner = open.pop()?;
                let here = tokens.len();
                tokens.get_mut(token.partner)?.partner = here;
            }
            _ => {}
        }
        tokens.push(token);
        at += length;
    }
    open.is_empty().then_some(tokens)
}

fn after_dot(tokens: &[Token<'_>]) -> bool {
    tokens.last().is_some_and(|token| token.text == ".")
}

/// Whether a value may end at `tokens[at]`.
fn ends_operand(tokens: &[Token<'_>], at: usize) -> bool {
    let token = &tokens[at];
    match token.kind {
        Kind::Name => !KEYWORDS.contains(&token.text) || (at > 0 && tokens[at - 1].text == "."),
        Kind::Number | Kind::Text | Kind::Close => true,
        Kind::Open | Kind::Operator => false,
    }
}

/// The operand that ends before `tokens[operator]`, with its calls, items, attributes and filters: its first and last
/// token. None if something that binds tighter, or as tight, stands before it.
fn operand_before(tokens: &[Token<'_>], operator: usize) -> Option<(usize, usize)> {
    let last = operator.checked_sub(1)?;
    let mut at = last;
    if !ends_operand(tokens, at) {
        return None;
    }
    loop {
        if tokens[at].kind == Kind::Close {
            at = tokens[at].partner;
            // A call or an item of what stands before it, else a group.
            let follows = at > 0 && ends_operand(tokens, at - 1) && tokens[at].text != "{";
            if follows {
                at -= 1;
                continue;
            }
        } else if tokens[at].kind == Kind::Text {
            while at > 0 && tokens[at - 1].kind == Kind::Text {
                at -= 1;
            }
        }
        let Some(before) = at.checked_sub(1).map(|before| tokens[before]) else { break };
        match before.text {
            "." | "|" if at >= 2 && ends_operand(tokens, at - 2) => at -= 2,
            "is" if before.kind == Kind::Name => return None,
            "*" | "/" | "//" | "%" | "**" => return None,
            // A sign, unless it stands between two values.
            "-" | "+" if at < 2 || !ends_operand(tokens, at - 2) => return None,
            "not" if at >= 2 && tokens[at - 2].text == "is" => return None,
            _ => break,
        }
    }
    Some((at, last))
}

/// The last token of the operand after `tokens[operator]`; none if it is no plain one.
fn operand_after(tokens: &[Token<'_>], operator: usize) -> Option<usize> {
    let mut at = operator + 1;
    let first = tokens.get(at)?;
    match first.kind {
        Kind::Open => at = first.partner,
        Kind::Text => {
            while tokens.get(at + 1).is_some_and(|token| token.kind == Kind::Text) {
                at += 1;
            }
        }
        Kind::Name if KEYWORDS.contains(&first.text) => return None,
        Kind::Name | Kind::Number => {}
        Kind::Close | Kind::Operator => return None,
    }
    while let Some(next) = tokens.get(at + 1) {
        match next.text {
            "." | "|" => at += 2,
            "(" | "[" => at = next.partner,
            "is" | "**" => return None,
            _ => break,
        }
    }
    (at < tokens.len()).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::as_filters;

    #[test]
    fn strings_take_the_filter_and_remainders_stay() {
        for (source, expected) in [
            ("{{ '%s' % x }}", "{{ '%s' |__mod__( x) }}"),
            ("{{ 'a' + '%s' % (a, b) + c }}", "{{ 'a' + '%s' |__mod__( (a, b)) + c }}"),
            ("{{ '%s' '%s' % (a[0].b|upper, c) }}", "{{ '%s' '%s' |__mod__( (a[0].b|upper, c)) }}"),
            ("{{ t.f('(')|g % x.y(1)[2]|h(3) }}", "{{ t.f('(')|g |__mod__( x.y(1)[2]|h(3)) }}"),
            ("{% if i % 2 == 0 %}{% endif %}", "{% if i % 2 == 0 %}{% endif %}"),
            ("{% if (i % n) %}{% endif %}", "{% if (i |__mod__( n)) %}{% endif %}"),
            ("{%- set x = '%d' % 2 -%}", "{%- set x = '%d' |__mod__( 2) -%}"),
            ("{{- '%s' % x -}}", "{{- '%s' |__mod__( x) -}}"),
            ("{{ t % u % v }}", "{{ t |__mod__( u) |__mod__( v) }}"),
            ("{{ '%s' % ('%s' % x) }}", "{{ '%s' |__mod__( ('%s' |__mod__( x))) }}"),
        ] {
            assert_eq!(as_filters(source), expected);
        }
    }

    #[test]
    fn the_sides_of_a_tilde_are_strings() {
        for (source, expected) in [
            ("{{ a ~ b.c ~ 'd' }}", "{{ a|string ~ b.c|string ~ 'd'|string }}"),
            ("{{ a + b ~ c }}", "{{ a + b|string ~ c|string }}"),
            ("{{ '%s' % a ~ b }}", "{{ '%s' |__mod__( a) ~ b|string }}"),
            ("{{ a * b ~ c }}", "{{ a * b ~ c|string }}"),
        ] {
            assert_eq!(as_filters(source), expected);
        }
    }

    #[test]
    fn everything_else_stays() {
        for source in [
            "",
            "100 % of ~ {",
            "{# 'a' % b #}",
            "{% raw %}{{ 'a' % b }}{% endraw %}",
            "{{ 2 * '%s' % x }}",
            "{{ -a % b }}",
            "{{ a % -b }}",
            "{{ a % b ** c }}",
            "{{ 'a' % (b }}",
            "{{ {'a': {}}['a'] }}",
            "{{ '%}' }}{% set a = '}}' %}",
        ] {
            assert_eq!(as_filters(source), source);
        }
    }
}
