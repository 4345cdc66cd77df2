//! Plans: what a row asks and answers, before anything is drawn.

use super::draw::Draw;
use super::row::Kind;
use super::template::{FactName, Template, Wordings};
use super::text::Text;

/// What a row asks.
#[derive(Debug, Clone)]
pub struct Plan<'a> {
    /// What it teaches.
    pub kind: Kind,
    /// The article asked about.
    pub template: &'a Template,
    /// The conversation.
    pub turns: Vec<PlannedTurn<'a>>,
    /// Language of the last question.
    pub language: &'a str,
    /// What the passages lack.
    pub missing: Missing,
}

/// One question.
#[derive(Debug, Clone)]
pub struct PlannedTurn<'a> {
    /// Its wordings: one, or two that are asked together.
    pub asked: Vec<&'a Text>,
    /// The facts that answer it.
    pub facts: Vec<FactName>,
    /// Whether all of it or the rest of it is not in the passages.
    pub unanswered: bool,
}

/// What the passages of a row lack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// Nothing.
    Nothing,
    /// The sentences of these facts.
    Facts(Vec<FactName>),
    /// The whole article.
    Article,
    /// The business: the passages are another's.
    Business,
}

/// Chooses among a template's questions.
pub struct Planner<'a, 'd> {
    /// The article asked about.
    pub template: &'a Template,
    /// What decides.
    pub draw: &'d mut Draw,
}

impl<'a> Planner<'a, '_> {
    /// A question about `fact`, at times after another one.
    pub fn fact(&mut self, fact: FactName) -> Option<Plan<'a>> {
        let mut plan = self.alone(fact, Kind::Fact)?;
        if self.draw.chance(0.1)
            && let Some(before) = self.other(fact).and_then(|other| self.answered(other))
        {
            plan.turns.insert(0, before);
        }
        Some(plan)
    }

    /// A question about `fact` in a row of another kind.
    pub fn alone(&mut self, fact: FactName, kind: Kind) -> Option<Plan<'a>> {
        let turn = self.answered(fact)?;
        Some(self.plan(kind, vec![turn]))
    }

    /// A question about `fact` and another one, in one wording or in two.
    pub fn two_facts(&mut self, fact: FactName) -> Option<Plan<'a>> {
        let template = self.template;
        let joint: Vec<_> = template
            .questions
            .iter()
            .filter(|asked| asked.facts.len() == 2 && asked.language.is_none())
            .collect();
        let turn = match self.draw.pick(&joint) {
            Some(question) if self.draw.chance(0.6) => PlannedTurn {
                asked: vec![self.wording(&question.asked)?],
                facts: question.facts.clone(),
                unanswered: false,
            },
            _ => {
                let other = self.other(fact)?;
                PlannedTurn {
                    asked: vec![self.single(fact)?, self.single(other)?],
                    facts: vec![fact, other],
                    unanswered: false,
                }
            }
        };
        Some(self.plan(Kind::TwoFacts, vec![turn]))
    }

    /// One of the template's follow-ups after the question that it follows.
    pub fn follow_up(&mut self) -> Option<Plan<'a>> {
        let follow_up = self.draw.pick(&self.template.follow_ups)?;
        let before = self.answered(follow_up.first)?;
        let asked = vec![self.wording(&follow_up.asked)?];
        let turn = PlannedTurn { asked, facts: vec![follow_up.then], unanswered: false };
        Some(self.plan(Kind::FollowUp, vec![before, turn]))
    }

    /// One of the template's questions in another language.
    pub fn language(&mut self) -> Option<Plan<'a>> {
        let foreign: Vec<_> = self
            .template
            .questions
            .iter()
            .filter_map(|asked| Some((asked.language.as_deref()?, asked)))
            .collect();
        let (language, question) = *self.draw.pick(&foreign)?;
        let asked = vec![self.wording(&question.asked)?];
        let turn = PlannedTurn { asked, facts: question.facts.clone(), unanswered: false };
        Some(Plan { language, ..self.plan(Kind::Language, vec![turn]) })
    }

    /// A question about `fact` together with one whose sentence is missing.
    pub fn partial(&mut self, fact: FactName) -> Option<Plan<'a>> {
        let other = self.other(fact)?;
        if self.stand_together(fact, other) {
            return None;
        }
        let mut asked = vec![self.single(fact)?, self.single(other)?];
        self.draw.shuffle(&mut asked);
        let turn = PlannedTurn { asked, facts: vec![fact], unanswered: true };
        Some(Plan { missing: Missing::Facts(vec![other]), ..self.plan(Kind::Partial, vec![turn]) })
    }

    /// A question near the topic that the article does not answer.
    pub fn near_topic(&mut self) -> Option<Plan<'a>> {
        let wordings = self.draw.pick(&self.template.near)?;
        let turn = PlannedTurn { asked: vec![self.wording(wordings)?], facts: Vec::new(), unanswered: true };
        Some(self.plan(Kind::NearTopic, vec![turn]))
    }

    /// `plan` asked where its last answer is `missing`; none if the conversation before would be missing too.
    pub fn unanswerable(&self, plan: &Plan<'a>, kind: Kind, missing: Missing) -> Option<Plan<'a>> {
        let mut plan = Plan { kind, missing, ..plan.clone() };
        let (last, before) = plan.turns.split_last_mut()?;
        let asked = std::mem::take(&mut last.facts);
        last.unanswered = true;
        let lost = |turn: &PlannedTurn| {
            turn.facts.iter().any(|fact| asked.iter().any(|gone| self.stand_together(*fact, *gone)))
        };
        match plan.missing {
            Missing::Facts(_) if before.iter().any(lost) => None,
            Missing::Article | Missing::Business if !before.is_empty() => None,
            _ => Some(plan),
        }
    }

    fn plan(&self, kind: Kind, turns: Vec<PlannedTurn<'a>>) -> Plan<'a> {
        Plan { kind, template: self.template, turns, language: "en", missing: Missing::Nothing }
    }

    fn answered(&mut self, fact: FactName) -> Option<PlannedTurn<'a>> {
        Some(PlannedTurn { asked: vec![self.single(fact)?], facts: vec![fact], unanswered: false })
    }

    /// A wording of a question about `fact` alone.
    fn single(&mut self, fact: FactName) -> Option<&'a Text> {
        let template = self.template;
        let questions = template.questions.iter();
        let wordings: Vec<&Text> = questions
            .filter(|question| question.facts == [fact] && question.language.is_none())
            .flat_map(|question| &question.asked.wordings)
            .collect();
        self.draw.pick(&wordings).copied()
    }

    fn wording(&mut self, wordings: &'a Wordings) -> Option<&'a Text> {
        self.draw.pick(&wordings.wordings)
    }

    /// Another fact of the article.
    fn other(&mut self, fact: FactName) -> Option<FactName> {
        let others: Vec<FactName> =
            self.template.askable().into_iter().filter(|other| *other != fact).collect();
        self.draw.pick(&others).copied()
    }

    /// Whether a sentence holds both facts.
    fn stand_together(&self, one: FactName, other: FactName) -> bool {
        one == other
            || self
                .template
                .lines()
                .any(|(_, _, line)| line.facts.contains(&one) && line.facts.contains(&other))
    }
}
