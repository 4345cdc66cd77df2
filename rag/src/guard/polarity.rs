//! Words that turn what is said into its opposite, and words that bound what they turn.

use std::sync::LazyLock;

use super::table::Table;

/// What a word does to the polarity of what is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// It says that something is not so.
    Negation,
    /// A negation before it denies nothing: "no later than", "not only", "nicht nur".
    Harmless,
    /// It begins a clause with a polarity of its own.
    Contrast,
    /// It joins two statements of one polarity.
    Joint,
}

static ROLES: LazyLock<Table<Role>> = LazyLock::new(|| {
    Table::new(&[
        (Role::Negation, NEGATIONS),
        (Role::Harmless, HARMLESS),
        (Role::Contrast, CONTRASTS),
        (Role::Joint, JOINTS),
    ])
});

const NEGATIONS: &str = "not no nor never none cannot without neither nothing nobody unable isn't don't doesn't \
    can't won't didn't aren't wasn't couldn't shouldn't wouldn't haven't hasn't weren't nicht kein keine keinem \
    keinen keiner keines nie niemals ohne weder nichts no nunca jamás sin ningún ninguna ninguno nada ni tampoco \
    pas jamais sans aucun aucune rien";

const HARMLESS: &str =
    "later more less fewer only earlier longer nur mehr später solo sólo más seulement plus matter";

const CONTRASTS: &str = "but except unless however although though while whereas if when because otherwise aber \
    außer sondern jedoch wenn falls weil sofern pero excepto salvo aunque si sino mais sauf quand lorsque";

const JOINTS: &str = "and or und oder sowie y o e et ou";

/// Words that contradict each other in the same place.
const OPPOSITES: &[(&str, &str)] = &[
    ("before", "after"),
    ("within", "after"),
    ("above", "below"),
    ("over", "under"),
    ("more", "less"),
    ("open", "closed"),
    ("included", "excluded"),
    ("includes", "excludes"),
    ("minimum", "maximum"),
    ("allowed", "forbidden"),
    ("allowed", "prohibited"),
    ("accept", "refuse"),
    ("earliest", "latest"),
    ("weekdays", "weekends"),
    ("refundable", "nonrefundable"),
    ("possible", "impossible"),
    ("increase", "decrease"),
    ("vor", "nach"),
    ("über", "unter"),
    ("geöffnet", "geschlossen"),
    ("inklusive", "exklusive"),
    ("möglich", "unmöglich"),
    ("erlaubt", "verboten"),
    ("antes", "después"),
    ("abierto", "cerrado"),
    ("incluido", "excluido"),
    ("avant", "après"),
    ("ouvert", "fermé"),
    ("inclus", "exclu"),
];

static POLES: LazyLock<Table<()>> = LazyLock::new(|| {
    let words: Vec<((), &str)> =
        OPPOSITES.iter().flat_map(|(one, other)| [((), *one), ((), *other)]).collect();
    Table::new(&words)
});

/// What `word`, in lower case, does.
pub(super) fn role(word: &str) -> Option<Role> {
    ROLES.get(word).or_else(|| word.starts_with("non").then_some(Role::Negation))
}

/// Whether `word` is one of a pair that contradicts.
pub(super) fn has_opposite(word: &str) -> bool {
    POLES.has(word)
}

/// Whether a clause with `word` contradicts one that `has` certain words.
pub(super) fn is_opposite(word: &str, has: impl Fn(&str) -> bool) -> bool {
    has_opposite(word)
        && !has(word)
        && OPPOSITES.iter().any(|(one, other)| word == *one && has(other) || word == *other && has(one))
}
