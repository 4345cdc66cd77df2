//! What kinds of answer a sentence offers.

use crate::guard::{Figure, Measure, figures};
use crate::phrases::{Phrases, Plain};

/// What a sentence offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Offered {
    pub money: bool,
    pub duration: bool,
    pub time: bool,
    pub number: bool,
    pub phone: bool,
    pub mail: bool,
    pub link: bool,
    /// An instruction: press, open, call.
    pub step: bool,
    /// Says that something may or may not be.
    pub permission: bool,
    /// Gives a reason or a condition.
    pub reason: bool,
    /// Tells of what was before: "until May 2025 it was", "superseded".
    pub past: bool,
}

/// Units of time that a duration is told in.
const DURATIONS: &[&str] =
    &["second", "minute", "hour", "day", "working day", "week", "month", "year", "night"];

/// Words of a price of nothing.
const FREE: Phrases = "free|no charge|kostenlos|gratis|gratuit*";
const WEEKDAYS: Phrases = "\
    monday*|tuesday*|wednesday*|thursday*|friday*|saturday*|sunday*|weekday*|weekend*|montag*|\
    dienstag*|mittwoch*|donnerstag*|freitag*|samstag*|sonntag*|lunes|martes|sábado*|domingo*|\
    lundi|samedi|dimanche";
/// Words that give an order or name a place to go.
const STEPS: Phrases = "\
    press|click|tap|open|choose|select|go to|call|send|fill|sign in|log in|enter|write|bring|\
    use|ask|show|contact|report|please|bitte|klicken|öffnen|rufen|haga clic|pulse|llame|cliquez|\
    appelez|you can|you need|must";
const PERMISSIONS: Phrases = "\
    can|cannot|can't|may|must|not|no|yes|only|allowed|possible|free|available|included|without|\
    kann|können|nicht|kein*|nur|darf|dürfen|puede*|sólo|solo|no se|peut|peuvent|pas|seulement";
const REASONS: Phrases = "\
    because|since|if|when|unless|means|mean|so that|due to|weil|wenn|falls|bedeutet|porque|si|\
    cuando|significa|parce que|lorsque|signifie";
/// Words of what no longer holds.
const PAST: Phrases = "\
    superseded|no longer|former*|previous*|until then|before then|it was|they were|fee was|price was|old price*|\
    old rule*|old tariff*|old rate*|old plan*|old version*|archived|outdated|withdrawn|used to|bis dahin|früher*|\
    damals|anterior*|ancien*|était";

impl Offered {
    pub fn of(text: &str) -> Self {
        let mut offered = Offered::default();
        for (_, figure) in figures(text) {
            match figure {
                Figure::Number { measure: Some(Measure::Currency(_)), .. } => offered.money = true,
                Figure::Number { measure: Some(Measure::Unit(unit)), .. } if DURATIONS.contains(&unit) => {
                    offered.duration = true
                }
                Figure::Number { .. } | Figure::Ordinal(_) => offered.number = true,
                Figure::Time { .. } | Figure::Date { .. } => offered.time = true,
                Figure::Digits(_) => offered.phone = true,
                Figure::Email(_) => offered.mail = true,
                Figure::Url(_) => offered.link = true,
                Figure::Code(_) | Figure::Name(_) => {}
            }
        }
        let plain = Plain::of(text);
        offered.money |= plain.has(FREE);
        offered.time |= plain.has(WEEKDAYS);
        offered.step = plain.has(STEPS);
        offered.permission = plain.has(PERMISSIONS);
        offered.reason = plain.has(REASONS);
        offered.past = plain.has(PAST);
        offered
    }

    /// Whether it has any figure.
    pub fn any_figure(&self) -> bool {
        self.money || self.duration || self.time || self.number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_longer_holds_says_so() {
        assert!(Offered::of("Superseded.").past && Offered::of("Until May it was £3.").past);
        assert!(!Offered::of("For dogs over 8 years old the fee is £3.").past);
    }
}
