//! Makes rows: chooses by shares what each of them asks.

use super::draw::Draw;
use super::library::Library;
use super::plan::{Missing, Plan, Planner};
use super::row::{Kind, Row};
use super::scene::Scene;
use super::template::{FactName, Template, TemplateError};

/// Shares of all rows; what is left asks for one fact.
#[derive(Debug, Clone, PartialEq)]
pub struct Shares {
    /// Questions that the passages do not answer.
    pub refusals: f64,
    /// Questions in another language.
    pub languages: f64,
    /// Two facts at once.
    pub two_facts: f64,
    /// Follow-ups.
    pub follow_ups: f64,
    /// Small talk and its like.
    pub talk: f64,
    /// Injections in passages and beside questions.
    pub injections: f64,
    /// Passages of two companies.
    pub other_companies: f64,
    /// Two questions, one of them unanswered.
    pub partial: f64,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            refusals: 0.13,
            languages: 0.06,
            two_facts: 0.14,
            follow_ups: 0.12,
            talk: 0.07,
            injections: 0.03,
            other_companies: 0.03,
            partial: 0.02,
        }
    }
}

/// How often another article is tried if one has no question of the kind wanted.
const TRIES: usize = 60;

/// Makes rows without end.
pub struct Composer<'a> {
    library: &'a Library,
    /// Numbers of the templates that are asked about.
    asked: Vec<usize>,
    shares: Shares,
    scene: Scene<'a>,
    draw: Draw,
    /// Facts that are still to be asked before one is asked again.
    deck: Vec<(&'a Template, FactName)>,
    /// The answered counterpart of the last refusal.
    counterpart: Option<Plan<'a>>,
}

impl<'a> Composer<'a> {
    /// Asks about the templates of the numbers `asked`; other passages are made of those of `others`.
    pub fn new(library: &'a Library, asked: Vec<usize>, others: &[usize], shares: Shares, seed: u64) -> Self {
        let others = others.iter().filter_map(|number| library.templates.get(*number)).collect();
        let scene = Scene { talk: &library.talk, others };
        Self { library, asked, shares, scene, draw: Draw::new(seed), deck: Vec::new(), counterpart: None }
    }

    /// The next row.
    ///
    /// # Errors
    /// If an answer has a figure that does not stand in the passage it cites, or no fact can be asked.
    pub fn next_row(&mut self) -> Result<Row, TemplateError> {
        if let Some(plan) = self.counterpart.take() {
            return self.scene.row(&plan, &mut self.draw);
        }
        let Shares { refusals, languages, two_facts, follow_ups, talk, injections, other_companies, partial } =
            self.shares.clone();
        // A refusal brings a second row along, its answered counterpart.
        let refusals = refusals / (1.0 - refusals).max(0.01);
        let others = [refusals, languages, two_facts, follow_ups, talk, injections, other_companies, partial];
        let facts = (1.0 - others.iter().sum::<f64>()).max(0.0);
        let weights: Vec<f64> = others.into_iter().chain([facts]).collect();
        let plan = match self.draw.weighted(&weights) {
            0 => {
                let (refusal, counterpart) = self.refusal()?;
                self.counterpart = Some(counterpart);
                refusal
            }
            1 => self.plan(|planner, _| planner.language())?,
            2 => self.plan(|planner, fact| planner.two_facts(fact))?,
            3 => self.plan(|planner, _| planner.follow_up())?,
            4 => return self.talk(),
            5 => self.plan(|planner, fact| planner.alone(fact, Kind::Injection))?,
            6 => self.plan(|planner, fact| planner.alone(fact, Kind::OtherCompany))?,
            7 => self.plan(|planner, fact| planner.partial(fact))?,
            _ => self.plan(|planner, fact| planner.fact(fact))?,
        };
        self.scene.row(&plan, &mut self.draw)
    }

    /// A question that is not answered, and one that is: the same, or one about the same article.
    fn refusal(&mut self) -> Result<(Plan<'a>, Plan<'a>), TemplateError> {
        match self.draw.weighted(&[0.5, 0.2, 0.3]) {
            0 => self.plan(|planner, fact| {
                let asked = match planner.draw.weighted(&[0.7, 0.2, 0.1]) {
                    0 => planner.fact(fact)?,
                    1 => planner.follow_up()?,
                    _ => planner.language()?,
                };
                let facts = asked.turns.last()?.facts.clone();
                let missing = match asked.turns.len() == 1 && planner.draw.chance(0.3) {
                    true => Missing::Article,
                    false => Missing::Facts(facts),
                };
                Some((planner.unanswerable(&asked, Kind::Near, missing)?, asked))
            }),
            1 => self.plan(|planner, fact| Some((planner.near_topic()?, planner.fact(fact)?))),
            _ => self.plan(|planner, fact| {
                let asked = planner.fact(fact)?;
                Some((planner.unanswerable(&asked, Kind::Far, Missing::Business)?, asked))
            }),
        }
    }

    /// An exchange of small talk, thanks and goodbyes often after an answer.
    fn talk(&mut self) -> Result<Row, TemplateError> {
        let exchanges: Vec<_> = self.library.talk.exchanges().collect();
        let mut groups: Vec<&str> = exchanges.iter().map(|(group, _)| *group).collect();
        groups.dedup();
        let group = self.draw.pick(&groups).copied().unwrap_or_default();
        let of_group: Vec<_> =
            exchanges.iter().filter(|(name, _)| *name == group).map(|(_, found)| *found).collect();
        let is_close = matches!(group, "thanks" | "goodbye" | "praise");
        let before = match is_close && self.draw.chance(0.6) || self.draw.chance(0.1) {
            true => {
                let plan = self.plan(|planner, fact| planner.fact(fact))?;
                Some(self.scene.row(&plan, &mut self.draw)?)
            }
            false => None,
        };
        let exchange = self.draw.pick(&of_group).copied();
        let (template, _) = self.card()?;
        Ok(self.scene.talk(group, exchange, template, before, &mut self.draw))
    }

    /// What `choose` makes of the first fact of the deck that allows it.
    fn plan<T>(
        &mut self,
        mut choose: impl FnMut(&mut Planner<'a, '_>, FactName) -> Option<T>,
    ) -> Result<T, TemplateError> {
        let mut passed_over = Vec::new();
        for _ in 0..TRIES {
            let (template, fact) = self.card()?;
            let mut planner = Planner { template, draw: &mut self.draw };
            if let Some(chosen) = choose(&mut planner, fact) {
                // What was passed over is asked later, in another way.
                self.deck.append(&mut passed_over);
                return Ok(chosen);
            }
            passed_over.push((template, fact));
        }
        let (template, _) = self.card()?;
        Err(template
            .error(template.line, "neither this article nor the others have a question of a kind wanted"))
    }

    /// The next fact to ask about.
    fn card(&mut self) -> Result<(&'a Template, FactName), TemplateError> {
        if self.deck.is_empty() {
            let asked = self.asked.iter().filter_map(|number| self.library.templates.get(*number));
            self.deck = asked
                .flat_map(|template| template.askable().into_iter().map(move |fact| (template, fact)))
                .collect();
            self.draw.shuffle(&mut self.deck);
        }
        self.deck.pop().ok_or_else(|| match self.library.templates.first() {
            Some(template) => {
                template.error(template.line, "no article has a fact that is asked and answered")
            }
            None => TemplateError { file: String::new(), line: 0, reason: "there is no article".into() },
        })
    }
}
