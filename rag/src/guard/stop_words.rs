//! Words without content of their own.

use std::sync::LazyLock;

use super::table::Table;
use crate::lexical::Language;

static STOP_WORDS: LazyLock<[(Language, Table<()>); 4]> =
    LazyLock::new(|| LISTS.map(|(language, words)| (language, Table::new(&[((), words)]))));

/// Stop words of English, German, Spanish and French.
const LISTS: [(Language, &str); 4] = [
    (
        Language::English,
        "a about all also am an and any are as at be because been being between both but by can could did do \
         does doing done down during each either else ever every for from further get gets give gives go goes \
         got had has have having he her here hers him his how i if in into is it its itself just let like ll \
         make makes may me might more most must my need needs of off on once one only or other our ours out \
         over own please re s same shall she should simply so some such t than that the their them then there \
         these they this those through to too under until up upon us use ve very via was we were what when \
         where whether which while who whom whose why will with within would yes you your yours yourself not \
         no nor cannot never none without don isn doesn won didn aren wasn shouldn couldn wouldn can't isn't \
         don't doesn't won't didn't aren't wasn't couldn't shouldn't wouldn't it's you're we're they're i'm \
         you'll we'll i'll that's there's however therefore still already again back after before",
    ),
    (
        Language::German,
        "aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist bitte da damit \
         dann das dass dein deine dem den der des die dies diese diesem diesen dieser dieses doch dort du durch \
         ein eine einem einen einer eines er es etwas euer eure für gegen gibt hab habe haben hat hatte hier \
         hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in indem ins ist ja jede jedem jeden jeder \
         jedes jetzt kann können könnt man mehr mein meine mit muss müssen nach nicht noch nun nur ob oder ohne \
         sehr sein seine sich sie sind so soll sollen sollte sondern sonst über um und uns unser unsere unserem \
         unseren unserer unter vom von vor war waren was weil welche wenn werden wird wir wo wurde wurden würde \
         zu zum zur zwischen dürfen darf kein keine keinem keinen keiner nie niemals bereits wieder dabei dafür",
    ),
    (
        Language::Spanish,
        "a al algo alguna algunas alguno algunos ante antes aquí así aún aunque bien cada como con contra cual \
         cuando cualquier de del desde donde durante e el él ella ellas ellos en entre era es esa esas ese eso \
         esos esta está están estas este esto estos fue ha había han has hasta hay la las le les lo los más me \
         mi mis mismo muy nada ni no nos nosotros nuestra nuestras nuestro nuestros nunca o os otra otro para \
         pero por porque pues puede pueden puedes que qué se sea ser si sí sin sobre solo sólo son su sus \
         también tan te tiene tienen tienes toda todas todo todos tu tus un una unas uno unos usted ustedes y \
         ya yo debe deben jamás ningún ninguna ninguno favor",
    ),
    (
        Language::French,
        "a ai alors après as au aucun aucune aussi autre aux avant avec avez avoir avons c ce ceci cela ces cet \
         cette chaque chez comme d dans de depuis des deux dont donc du elle elles en encore entre est et êtes \
         être eu eux faire fait faut ici il ils j je jamais l la le les leur leurs lors lui m ma mais me même \
         mes moi mon n ne ni nos notre nous on ont ou où par pas peut peuvent peux plus pour pouvez qu quand \
         que quel quelle qui sa sans se sera ses si soit son sont sous sur ta te tes toi ton tous tout toute \
         toutes très tu un une vers veuillez via voici vos votre vous y doit doivent était rien personne oui",
    ),
];

/// Whether `word`, in lower case, is a stop word of any language.
pub(super) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.iter().any(|(_, words)| words.has(word))
}

/// Whether `word` is a stop word of `language`, or of any where its stop words are not known.
pub(crate) fn is_stop_word_of(word: &str, language: Language) -> bool {
    let known = STOP_WORDS.iter().find(|(known, _)| *known == language);
    known.map_or_else(|| is_stop_word(word), |(_, words)| words.has(word))
}
