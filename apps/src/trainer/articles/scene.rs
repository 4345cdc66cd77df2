//! Draws a plan: its world, its passages, its questions and their answers.

use std::collections::HashSet;

use super::answer::{Candidate, evidence, told};
use super::article::Article;
use super::draw::Draw;
use super::fill::{Filler, capitalised};
use super::passage::{Passage, cut};
use super::plan::{Missing, Plan, PlannedTurn};
use super::row::{Kind, Row, Turn};
use super::talk::{Exchange, Talk};
use super::template::{FactName, Template, TemplateError};
use super::typos::typed;
use super::world::World;

/// Most passages of a row, unless its answer needs more.
const MOST: usize = 4;

/// What rows are drawn from.
pub struct Scene<'a> {
    /// Refusals and words around questions.
    pub talk: &'a Talk,
    /// Articles that other passages are made of.
    pub others: Vec<&'a Template>,
}

impl Scene<'_> {
    /// Draws a row.
    ///
    /// # Errors
    /// If an answer has a figure that does not stand in the passage it cites.
    pub fn row(&self, plan: &Plan, draw: &mut Draw) -> Result<Row, TemplateError> {
        let world = World::draw(draw);
        let mut filler = Filler::new(&world, &plan.template.slots);
        let questions: Vec<String> =
            plan.turns.iter().map(|turn| self.question(turn, &mut filler, draw)).collect();
        let mut passages =
            self.passages(plan, &world, &mut filler, questions.last().map_or("", String::as_str), draw);
        let mut questions: Vec<String> =
            questions.iter().map(|question| self.dressed(question, draw)).collect();
        if let Some(last) = questions.last_mut() {
            match plan.kind {
                Kind::OtherCompany => *last = format!("{} {last}", self.part("mention", &world, draw)),
                Kind::Injection if draw.chance(0.5) => {
                    let stop = if last.ends_with(['.', '?', '!']) { "" } else { "." };
                    *last = format!("{last}{stop} {}", self.part("suffix", &world, draw));
                }
                Kind::Injection => {
                    let planted = self.part("planted", &world, draw);
                    let at = draw.below(passages.len());
                    if let Some(candidate) = passages.get_mut(at) {
                        let before = draw.below(candidate.passage.sentences().count() + 1);
                        candidate.passage.insert(planted, before);
                    }
                }
                _ => {}
            }
        }
        let mut turns = Vec::new();
        for (turn, question) in plan.turns.iter().zip(questions) {
            let answer = self.answer(plan, turn, &passages, &world, &mut filler, draw)?;
            turns.push(Turn { question: typed(&question, draw), answer });
        }
        let asked = plan.turns.last().map(|turn| turn.facts.as_slice()).unwrap_or_default();
        Ok(Row {
            kind: plan.kind.clone(),
            business: plan.template.business.clone(),
            article: plan.template.id(),
            language: plan.language.into(),
            evidence: evidence(&passages, asked),
            passages: passages.into_iter().map(|candidate| candidate.passage).collect(),
            turns,
        })
    }

    /// An exchange of small talk, after `before` or with passages that have nothing to do with it.
    pub fn talk(
        &self,
        group: &str,
        exchange: Option<&Exchange>,
        template: &Template,
        before: Option<Row>,
        draw: &mut Draw,
    ) -> Row {
        let world = World::draw(draw);
        let mut filler = Filler::new(&world, &self.talk.slots);
        let said = exchange.and_then(|exchange| draw.pick(&exchange.said));
        let language = said.and_then(|(language, _)| language.clone()).unwrap_or_else(|| "en".into());
        let question = said.map(|(_, text)| filler.phrase(text, draw)).unwrap_or_default();
        let answer = exchange.and_then(|exchange| draw.pick(&exchange.answers));
        let answer = answer.map(|text| filler.sentence(text, draw)).unwrap_or_default();
        let turn = Turn { question: typed(&question, draw), answer };
        let kind = Kind::Talk(group.into());
        if let Some(mut row) = before {
            row.turns.push(turn);
            return Row { kind, language, evidence: Vec::new(), ..row };
        }
        let count = if draw.chance(0.4) { 0 } else { 1 + draw.below(3) };
        let topics = HashSet::new();
        let passages = self.neighbours(&template.business, &topics, &world, &question, count, draw);
        Row {
            kind,
            business: template.business.clone(),
            article: String::new(),
            language,
            passages,
            turns: vec![turn],
            evidence: Vec::new(),
        }
    }

    /// The question as its templates have it: two of them joined.
    fn question(&self, turn: &PlannedTurn, filler: &mut Filler, draw: &mut Draw) -> String {
        let parts: Vec<String> = turn.asked.iter().map(|text| filler.phrase(text, draw)).collect();
        let [one, two] = parts.as_slice() else { return parts.concat() };
        if !one.ends_with(['.', '?', '!']) {
            return format!("{one} and {}", lowered(two));
        }
        match draw.below(3) {
            0 => format!("{one} {}", capitalised(two)),
            _ => {
                let also: Vec<_> = self.talk.parts("also").collect();
                let also = draw.pick(&also).map(|text| text.literal()).unwrap_or_default();
                format!("{one} {} {}", also.trim(), lowered(two))
            }
        }
    }

    /// The question with a greeting before or thanks after it, at times.
    fn dressed(&self, question: &str, draw: &mut Draw) -> String {
        let before = match draw.chance(0.1) {
            true => self.literal_part("opener", draw) + " ",
            false => String::new(),
        };
        let after = match draw.chance(0.05) && question.ends_with(['.', '?', '!']) {
            true => format!(" {}", self.literal_part("closer", draw)),
            false => String::new(),
        };
        format!("{before}{question}{after}")
    }

    fn literal_part(&self, group: &str, draw: &mut Draw) -> String {
        let parts: Vec<_> = self.talk.parts(group).collect();
        draw.pick(&parts).map(|text| text.literal()).unwrap_or_default()
    }

    fn part(&self, group: &str, world: &World, draw: &mut Draw) -> String {
        let parts: Vec<_> = self.talk.parts(group).collect();
        let part = draw.pick(&parts).copied();
        part.map(|text| Filler::new(world, &self.talk.slots).phrase(text, draw)).unwrap_or_default()
    }

    /// The passages of a row in their order: those that the answers need, and others.
    fn passages(
        &self,
        plan: &Plan,
        world: &World,
        filler: &mut Filler,
        question: &str,
        draw: &mut Draw,
    ) -> Vec<Candidate> {
        let template = plan.template;
        let mut article =
            Article::draw(template, filler, if plan.kind.is_refusal() { 0.3 } else { 0.5 }, draw);
        if let Missing::Facts(facts) = &plan.missing {
            article.remove(facts);
        }
        if plan.kind == Kind::OtherCompany {
            article.title = format!("{} ({})", article.title, world.company);
        }
        let facts: HashSet<FactName> =
            plan.turns.iter().flat_map(|turn| turn.facts.iter().copied()).collect();
        let is_needed = |passage: &Passage| {
            passage.sentences().any(|said| said.facts.iter().any(|fact| facts.contains(fact)))
        };
        let own = |pack: bool| -> (Vec<Passage>, Vec<Passage>) {
            match plan.missing {
                Missing::Article | Missing::Business => (Vec::new(), Vec::new()),
                Missing::Nothing | Missing::Facts(_) => cut(&article, pack).into_iter().partition(is_needed),
            }
        };
        let (mut chosen, mut rest) = own(draw.chance(0.6));
        if chosen.len() > MOST {
            (chosen, rest) = own(true);
        }
        draw.shuffle(&mut rest);
        let count = 2 + draw.weighted(&[0.3, 0.4, 0.3]);
        // Where the answer is not in the article, a part of it stands among the passages all the same.
        let least = usize::from(plan.kind.is_refusal() && chosen.is_empty());
        for (index, passage) in rest.into_iter().enumerate() {
            if chosen.len() < count && (index < least || draw.chance(0.55)) {
                chosen.push(passage);
            }
        }
        let mut candidates: Vec<Candidate> =
            chosen.into_iter().map(|passage| Candidate { passage, is_own: true }).collect();
        let mut others = Vec::new();
        if plan.kind == Kind::OtherCompany {
            others.extend(self.rival(template, question, draw));
        }
        let count = count.saturating_sub(candidates.len() + others.len());
        let business = match plan.missing {
            Missing::Business => self.another_business(template, draw),
            _ => template.business.as_str(),
        };
        let topics = HashSet::from([template.topic.as_str()]);
        others.extend(self.neighbours(business, &topics, world, question, count, draw));
        candidates.extend(others.into_iter().map(|passage| Candidate { passage, is_own: false }));
        draw.shuffle(&mut candidates);
        candidates
    }

    /// A passage on the same topic of another company's article.
    fn rival(&self, template: &Template, question: &str, draw: &mut Draw) -> Option<Passage> {
        let same = |other: &&&Template| other.topic == template.topic && other.business != template.business;
        let found: Vec<&Template> = self.others.iter().filter(same).copied().collect();
        let rival = draw.pick(&found).copied().unwrap_or(template);
        let world = World::draw(draw);
        let mut passage = closest(self.drawn(rival, &world, draw), question, draw)?;
        passage.title = format!("{} ({})", passage.title, world.company);
        Some(passage)
    }

    /// A kind of business that has no article on `template`'s topic, if there is one.
    fn another_business(&self, template: &Template, draw: &mut Draw) -> &str {
        let found: Vec<&&Template> = self
            .others
            .iter()
            .filter(|other| other.business != template.business && other.topic != template.topic)
            .collect();
        draw.pick(&found).map_or("", |other| other.business.as_str())
    }

    /// `count` passages of other articles, most of them of the same kind of business.
    fn neighbours(
        &self,
        business: &str,
        topics: &HashSet<&str>,
        world: &World,
        question: &str,
        count: usize,
        draw: &mut Draw,
    ) -> Vec<Passage> {
        let may = |other: &&&Template| !topics.contains(other.topic.as_str());
        let (near, far): (Vec<&Template>, Vec<&Template>) =
            self.others.iter().filter(may).partition(|other| other.business == business);
        let mut taken: Vec<&Template> = Vec::new();
        let mut passages = Vec::new();
        for _ in 0..count {
            let pool = if draw.chance(0.8) && near.len() > taken.len() { &near } else { &far };
            // Half of them are the closest to the question of several, as a search would give them.
            let tries = if draw.chance(0.5) { 1 } else { 4 };
            let drawn: Vec<&Template> = (0..tries)
                .filter_map(|_| draw.pick(pool).copied())
                .filter(|other| !taken.iter().any(|taken| std::ptr::eq(*taken, *other)))
                .collect();
            let found: Vec<(&Template, Passage)> = drawn
                .into_iter()
                .flat_map(|other| {
                    self.drawn(other, world, draw).into_iter().map(move |passage| (other, passage))
                })
                .collect();
            let texts: Vec<Passage> = found.iter().map(|(_, passage)| passage.clone()).collect();
            let Some(passage) = closest(texts, if tries == 1 { "" } else { question }, draw) else {
                continue;
            };
            let label = passage.label();
            taken.extend(found.iter().find(|(_, other)| other.label() == label).map(|(other, _)| *other));
            if !passages.iter().any(|other: &Passage| other.label() == label) {
                passages.push(passage);
            }
        }
        passages
    }

    fn drawn(&self, template: &Template, world: &World, draw: &mut Draw) -> Vec<Passage> {
        let mut filler = Filler::new(world, &template.slots);
        let article = Article::draw(template, &mut filler, 0.3, draw);
        cut(&article, draw.chance(0.6))
    }

    /// What is answered to a turn, with citations.
    fn answer(
        &self,
        plan: &Plan,
        turn: &PlannedTurn,
        passages: &[Candidate],
        world: &World,
        filler: &mut Filler,
        draw: &mut Draw,
    ) -> Result<String, TemplateError> {
        let mut parts = Vec::new();
        for fact in &turn.facts {
            parts.push(told(plan.template, *fact, passages, filler, draw)?);
        }
        if turn.unanswered {
            let group = if turn.facts.is_empty() { "refusal" } else { "partial" };
            let answers: Vec<_> = self.talk.answers(group).collect();
            let said =
                draw.pick(&answers).map(|text| Filler::new(world, &self.talk.slots).sentence(text, draw));
            parts.extend(said);
        }
        Ok(parts.join(" "))
    }
}

/// The passage with most of the question's words; any, if there is no question.
fn closest(passages: Vec<Passage>, question: &str, draw: &mut Draw) -> Option<Passage> {
    let lower = question.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3).collect();
    let first = draw.below(passages.len());
    let worth = |passage: &Passage| {
        let text = format!("{} {}", passage.label(), passage.text()).to_lowercase();
        words.iter().filter(|word| text.contains(**word)).count()
    };
    let turned = passages[first..].iter().chain(&passages[..first]);
    turned.max_by_key(|passage| worth(passage)).cloned()
}

/// With a small first letter, unless the first word is a name.
fn lowered(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next();
    let word = text.split([' ', '\'']).next().unwrap_or_default();
    let is_plain = word.chars().skip(1).all(|c| c.is_lowercase()) && word != "I";
    match first.filter(|_| is_plain) {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text.into(),
    }
}
