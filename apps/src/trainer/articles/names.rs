//! Invented names: companies, people, places, products.

use super::draw::Draw;

/// Days of the week.
pub const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// Months.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Towns.
pub const PLACES: [&str; 36] = [
    "Aldermere",
    "Bergen",
    "Brackley",
    "Cork",
    "Dunmore",
    "Eastwick",
    "Fairholm",
    "Gdansk",
    "Ghent",
    "Graz",
    "Halden",
    "Harrowgate",
    "Inverloch",
    "Kestrel Bay",
    "Leeds",
    "Lyon",
    "Malaga",
    "Marlow",
    "Nantes",
    "Norwood",
    "Oakhurst",
    "Porto",
    "Quarry Bank",
    "Rosenthal",
    "Seaford",
    "Split",
    "Stonebridge",
    "Tartu",
    "Trieste",
    "Turin",
    "Uppsala",
    "Utrecht",
    "Westbrook",
    "Wyndham",
    "Yarrow",
    "Zagreb",
];

/// Names of mailboxes.
pub const MAILBOXES: [&str; 12] = [
    "help", "service", "hello", "team", "desk", "care", "info", "support", "office", "contact", "ask",
    "bookings",
];

/// Paths of pages.
pub const PAGES: [&str; 12] = [
    "help", "start", "account", "form", "check", "apply", "report", "service", "go", "my", "requests",
    "contact",
];

const SYLLABLES: [&str; 32] = [
    "ba", "bel", "bri", "cal", "cor", "den", "dra", "el", "fen", "fos", "gar", "gil", "hol", "ir", "jun",
    "kel", "lo", "mar", "nor", "os", "pel", "quin", "ras", "sol", "tam", "ul", "vor", "wen", "yar", "zel",
    "thi", "mo",
];
const FIRST_NAMES: [&str; 32] = [
    "Anna", "Ben", "Carla", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Karim", "Lena",
    "Mateo", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Sami", "Tomas", "Uma", "Vera", "Wanda", "Yusuf",
    "Zoe", "Abeni", "Callum", "Dana", "Ewan", "Fiona", "Hana", "Marek",
];
const LAST_NAMES: [&str; 24] = [
    "Abbott",
    "Baran",
    "Castell",
    "Dunne",
    "Eriksen",
    "Fischer",
    "Grant",
    "Hobday",
    "Ibarra",
    "Jensen",
    "Kowal",
    "Lindqvist",
    "Marsh",
    "Novak",
    "Okafor",
    "Petrov",
    "Quill",
    "Rashid",
    "Sato",
    "Turner",
    "Ullman",
    "Vance",
    "Whitby",
    "Yilmaz",
];
const STREETS: [&str; 20] = [
    "Mill Lane",
    "Station Road",
    "Harbour Street",
    "Queen Street",
    "Elm Grove",
    "Market Square",
    "Canal Walk",
    "Chapel Hill",
    "Foundry Way",
    "Park Avenue",
    "River Terrace",
    "Bridge Street",
    "Orchard Close",
    "Castle Road",
    "Tanner Street",
    "Linden Avenue",
    "North Quay",
    "Abbey Road",
    "Weaver Lane",
    "Garden Row",
];
const PRODUCT_WORDS: [&str; 28] = [
    "Aero", "Alto", "Basalt", "Breeze", "Cobalt", "Comet", "Delta", "Echo", "Ember", "Flint", "Glide",
    "Halo", "Iris", "Juno", "Kite", "Lumen", "Mistral", "Nimbus", "Onyx", "Pebble", "Quill", "Ridge",
    "Sable", "Tern", "Umbra", "Vale", "Wisp", "Zephyr",
];

fn coined(count: usize, draw: &mut Draw) -> String {
    let name: String = (0..count).map(|_| draw.word(&SYLLABLES)).collect();
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// A company's name.
pub fn company(draw: &mut Draw) -> String {
    let count = 2 + draw.below(2);
    coined(count, draw)
}

/// A first name, or a first and a last name.
pub fn person(draw: &mut Draw) -> String {
    let first = draw.word(&FIRST_NAMES);
    match draw.chance(0.5) {
        true => format!("{first} {}", draw.word(&LAST_NAMES)),
        false => first.into(),
    }
}

/// A street with a house number.
pub fn street(draw: &mut Draw) -> String {
    format!("{} {}", draw.between(1, 180), draw.word(&STREETS))
}

/// A product's name, with a model number at times.
pub fn product(draw: &mut Draw) -> String {
    let word = match draw.chance(0.6) {
        true => draw.word(&PRODUCT_WORDS).to_string(),
        false => coined(2, draw),
    };
    match draw.below(4) {
        0 => format!("{word} {}", draw.between(2, 90) * 10),
        1 => format!("{word} {}{}", draw.word(&["X", "S", "T", "M"]), draw.between(1, 9)),
        _ => word,
    }
}
