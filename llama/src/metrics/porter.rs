//! The Porter stemmer with NLTK's extensions, which `rouge-score` uses.
//!
//! A word is `[C](VC)^m[V]`, where C are runs of consonants and V of vowels; most rules ask for the
//! *measure* m of what is left without the suffix.
//!
//! Source: Porter 1980, "An algorithm for suffix stripping"; `nltk.stem.porter`, mode
//! `NLTK_EXTENSIONS`.

/// The stem of `word`, which is in lower-case ASCII.
pub fn stem(word: &str) -> String {
    if let Some((stem, _)) = IRREGULAR.iter().find(|(_, forms)| forms.contains(&word)) {
        return (*stem).to_owned();
    }
    if word.len() <= 2 {
        return word.to_owned();
    }
    let word = plural(word);
    let word = past_or_gerund(&word);
    let word = final_y(&word);
    let word = replace(&word, &STEP_2);
    let word = replace(&word, &STEP_3);
    let word = without_suffix(&word);
    double_l(final_e(word))
}

/// Stems and the forms that the rules would spoil.
const IRREGULAR: [(&str, &[&str]); 12] = [
    ("sky", &["sky", "skies"]),
    ("die", &["dying"]),
    ("lie", &["lying"]),
    ("tie", &["tying"]),
    ("news", &["news"]),
    ("inning", &["innings", "inning"]),
    ("outing", &["outings", "outing"]),
    ("canning", &["cannings", "canning"]),
    ("howe", &["howe"]),
    ("proceed", &["proceed"]),
    ("exceed", &["exceed"]),
    ("succeed", &["succeed"]),
];

/// Step 2: relational → relate. The longer of two suffixes comes first. (`logi` is there as `ogi`, for
/// its `l` counts to the stem that is measured.)
const STEP_2: [(&str, &str); 22] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
    ("ogi", "og"),
];

/// Step 3: electrical → electric.
const STEP_3: [(&str, &str); 7] = [
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
];

/// Step 4: adjustment → adjust. The longer of two suffixes comes first.
const STEP_4: [&str; 19] = [
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism",
    "ate", "iti", "ous", "ive", "ize",
];

/// Step 1a: caresses → caress, ponies → poni, ties → tie, cats → cat.
fn plural(word: &str) -> String {
    match word {
        _ if word.ends_with("ies") => shortened_ie(word),
        _ if word.ends_with("sses") => word[..word.len() - 2].to_owned(),
        _ if word.ends_with("ss") => word.to_owned(),
        _ => word.strip_suffix('s').unwrap_or(word).to_owned(),
    }
}

/// Without the last letter of `ies` or `ied`, and without its `e` unless the word has four letters.
fn shortened_ie(word: &str) -> String {
    word[..word.len() - if word.len() == 4 { 1 } else { 2 }].to_owned()
}

/// Step 1b: agreed → agree, plastered → plaster, hopping → hop, filing → file.
fn past_or_gerund(word: &str) -> String {
    if word.ends_with("ied") {
        return shortened_ie(word);
    }
    if let Some(stem) = word.strip_suffix("eed") {
        return if measure(stem) > 0 { format!("{stem}ee") } else { word.to_owned() };
    }
    let stems = ["ed", "ing"].into_iter().filter_map(|suffix| word.strip_suffix(suffix));
    let Some(stem) = stems.into_iter().find(|stem| consonants(stem).contains(&false)) else {
        return word.to_owned();
    };
    if ["at", "bl", "iz"].iter().any(|suffix| stem.ends_with(suffix)) {
        format!("{stem}e")
    } else if ends_with_double_consonant(stem) {
        let keeps_both = stem.ends_with(['l', 's', 'z']);
        stem[..stem.len() - usize::from(!keeps_both)].to_owned()
    } else if measure(stem) == 1 && ends_with_cvc(stem) {
        format!("{stem}e")
    } else {
        stem.to_owned()
    }
}

/// Step 1c: happy → happi, but enjoy.
fn final_y(word: &str) -> String {
    match word.strip_suffix('y') {
        Some(stem) if stem.len() > 1 && consonants(stem).last() == Some(&true) => format!("{stem}i"),
        _ => word.to_owned(),
    }
}

/// Steps 2 and 3: applies the first rule whose suffix the word has, if the rest has a measure above 0.
fn replace(word: &str, rules: &[(&str, &str)]) -> String {
    let rule = rules.iter().find_map(|(suffix, new)| Some((word.strip_suffix(suffix)?, new)));
    match rule {
        Some((stem, &"og")) if !stem.ends_with('l') => word.to_owned(),
        Some((stem, new)) if measure(stem) > 0 => format!("{stem}{new}"),
        _ => word.to_owned(),
    }
}

/// Step 4: takes the first suffix of the list that the word has off a stem of measure 2 or more.
fn without_suffix(word: &str) -> String {
    let found = STEP_4.iter().find_map(|suffix| Some((word.strip_suffix(suffix)?, *suffix)));
    match found {
        Some((stem, "ion")) if !stem.ends_with(['s', 't']) => word.to_owned(),
        Some((stem, _)) if measure(stem) > 1 => stem.to_owned(),
        _ => word.to_owned(),
    }
}

/// Step 5a: probate → probat, cease → ceas, but rate.
fn final_e(word: String) -> String {
    match word.strip_suffix('e').map(|stem| (stem, measure(stem))) {
        Some((stem, measure)) if measure > 1 || measure == 1 && !ends_with_cvc(stem) => stem.to_owned(),
        _ => word,
    }
}

/// Step 5b: controll → control.
fn double_l(word: String) -> String {
    match word.strip_suffix('l') {
        Some(stem) if stem.ends_with('l') && measure(stem) > 1 => stem.to_owned(),
        _ => word,
    }
}

/// m of `[C](VC)^m[V]`.
fn measure(stem: &str) -> usize {
    consonants(stem).windows(2).filter(|pair| matches!(pair, [false, true])).count()
}

/// Whether each letter is a consonant: not a, e, i, o or u, and not a y after a consonant.
fn consonants(word: &str) -> Vec<bool> {
    let mut consonants = Vec::with_capacity(word.len());
    for letter in word.bytes() {
        consonants.push(match letter {
            b'a' | b'e' | b'i' | b'o' | b'u' => false,
            b'y' => consonants.last() != Some(&true),
            _ => true,
        });
    }
    consonants
}

fn ends_with_double_consonant(word: &str) -> bool {
    match word.as_bytes() {
        [.., a, b] => a == b && consonants(word).last() == Some(&true),
        _ => false,
    }
}

/// Consonant, vowel, consonant other than w, x and y, as in "hop"; or just vowel and consonant.
fn ends_with_cvc(word: &str) -> bool {
    match consonants(word)[..] {
        [false, true] => true,
        [.., true, false, true] => !word.ends_with(['w', 'x', 'y']),
        _ => false,
    }
}
