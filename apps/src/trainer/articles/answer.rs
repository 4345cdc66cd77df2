//! Answers of facts out of a row's passages, and the check of their figures.

use super::cite::cited;
use super::draw::Draw;
use super::figures::{figures, stands_in};
use super::fill::Filler;
use super::passage::Passage;
use super::template::{FactName, Template, TemplateError};

/// A passage, and whether it is of the article asked about.
pub struct Candidate {
    /// The passage.
    pub passage: Passage,
    /// Whether it is of the article asked about.
    pub is_own: bool,
}

/// The answer of one fact, with citations.
///
/// # Errors
/// If it has a figure that does not stand in the passage it cites.
pub fn told(
    template: &Template,
    fact: FactName,
    passages: &[Candidate],
    filler: &mut Filler,
    draw: &mut Draw,
) -> Result<String, TemplateError> {
    let Some(answer) = template.answer(fact) else {
        return Err(template.error(template.line, format!("the fact `{fact}` has no answer")));
    };
    let error = |reason: String| template.error(answer.told.line, reason);
    filler.take_quoted();
    let text = draw.pick(&answer.told.wordings).map(|text| filler.sentence(text, draw)).unwrap_or_default();
    let quoted = filler.take_quoted();
    let holds = |candidate: &Candidate| {
        candidate.is_own && candidate.passage.sentences().any(|said| said.facts.contains(&fact))
    };
    let texts: Vec<(usize, String)> = (1..)
        .zip(passages)
        .filter(|(_, candidate)| holds(candidate))
        .map(|(number, candidate)| {
            (number, format!("{}\n{}", candidate.passage.label(), candidate.passage.text()))
        })
        .collect();
    let supports: Vec<(usize, &str)> = texts.iter().map(|(number, text)| (*number, text.as_str())).collect();
    if supports.is_empty() {
        return Err(error(format!("no passage holds the fact `{fact}`")));
    }
    let said = cited(&text, &supports);
    for (sentence, number) in &said {
        let source = supports.iter().find(|(support, _)| support == number).map_or("", |(_, text)| *text);
        if let Some(figure) = figures(sentence).find(|figure| !stands_in(figure, source)) {
            return Err(error(format!(
                "the answer `{sentence}` has `{figure}`, which its passage does not have"
            )));
        }
    }
    if let Some(value) = quoted.iter().find(|value| !supports.iter().any(|(_, text)| stands_in(value, text)))
    {
        return Err(error(format!(
            "the answer `{text}` has `{value}`, which no sentence of the fact `{fact}` has"
        )));
    }
    let said: Vec<String> = said.iter().map(|(sentence, number)| format!("{sentence} [{number}]")).collect();
    Ok(said.join(" "))
}

/// Where the sentences of `facts` stand.
pub fn evidence(passages: &[Candidate], facts: &[FactName]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (number, candidate) in passages.iter().enumerate().filter(|(_, candidate)| candidate.is_own) {
        for (index, said) in candidate.passage.sentences().enumerate() {
            if said.facts.iter().any(|fact| facts.contains(fact)) {
                found.push((number, index));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::article::Article;
    use super::super::parse::parse;
    use super::super::passage::cut;
    use super::super::world::World;
    use super::*;

    /// The answer of the fact `b` of an article.
    fn answer(source: &str, seed: u64) -> Result<(String, Vec<(usize, usize)>), TemplateError> {
        let (templates, errors) = parse("shop.txt", source);
        assert_eq!(errors, []);
        let mut draw = Draw::new(seed);
        let world = World::draw(&mut draw);
        let mut filler = Filler::new(&world, &templates[0].slots);
        let article = Article::draw(&templates[0], &mut filler, 0.0, &mut draw);
        let passages: Vec<Candidate> =
            cut(&article, false).into_iter().map(|passage| Candidate { passage, is_own: true }).collect();
        let said = told(&templates[0], 'b', &passages, &mut filler, &mut draw)?;
        Ok((said, evidence(&passages, &['b'])))
    }

    #[test]
    fn an_answer_cites_its_passage() {
        let source =
            "= t | T\n*a One.\n## H\nNo.\n*b It is {n:int 20 90}.\n! a One.\n! b It is {n}. That is all.\n";
        for seed in 0..20 {
            let (said, evidence) = answer(source, seed).unwrap();
            assert!(said.ends_with(". [2] That is all. [2]"), "{said}");
            assert_eq!(evidence, [(1, 1)]);
        }
    }

    #[test]
    fn a_figure_of_another_passage_is_an_error() {
        for told in ["It is {m}", "It is 1000", "{m} is it"] {
            let source = format!(
                "= t | T\n*a One, {{m:int 200 900}}.\n## H\n*b It is {{n:int 20 90}}.\n! a One.\n! b {told}.\n"
            );
            let error = answer(&source, 1).unwrap_err();
            assert_eq!((error.file.as_str(), error.line), ("shop.txt", 6));
            assert!(error.reason.contains("which its passage does not have"), "{error}");
        }
    }
}
