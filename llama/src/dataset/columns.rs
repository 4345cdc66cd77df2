//! What the columns of a file are called.

use std::fmt;
use std::str::FromStr;

/// What a column can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// What the customer writes.
    Instruction,
    /// What the instruction is about; it is put on the lines after it.
    Input,
    /// What the assistant answers.
    Response,
    /// Instructions for the assistant.
    System,
    /// Passages that the answer should rest on.
    Context,
    /// A whole conversation.
    Messages,
    /// What kind of question it is.
    Category,
}

impl Field {
    const ALL: [Self; 7] = [
        Self::Instruction,
        Self::Input,
        Self::Response,
        Self::System,
        Self::Context,
        Self::Messages,
        Self::Category,
    ];

    /// The names it has unless others are given: those of Alpaca, of TRL's data sets and of ShareGPT.
    /// The first is what the field is called.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::Instruction => &["instruction", "prompt"],
            Self::Input => &["input"],
            Self::Response => &["response", "output", "completion"],
            Self::System => &["system"],
            Self::Context => &["context"],
            Self::Messages => &["messages", "conversations"],
            Self::Category => &["category", "intent"],
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names().first().unwrap_or(&""))
    }
}

/// A column with a name of its own, written `instruction=question`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What it is.
    pub field: Field,
    /// What the file calls it.
    pub name: String,
}

impl FromStr for Column {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (field, name) =
            text.split_once('=').ok_or("FIELD=COLUMN is wanted, as in instruction=question")?;
        let (wanted, name) = (field.trim(), name.trim());
        let field = Field::ALL.into_iter().find(|field| field.to_string() == wanted).ok_or_else(|| {
            format!(
                "there is no field `{wanted}`, only {}",
                Field::ALL.map(|field| field.to_string()).join(", ")
            )
        })?;
        match name.is_empty() {
            true => Err(format!("the column of `{field}` has no name")),
            false => Ok(Self { field, name: name.into() }),
        }
    }
}

/// The names of all columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// Columns with names of their own; the others have [`Field::names`].
    pub named: Vec<Column>,
}

impl Columns {
    /// Which of `present` is the field.
    pub fn find<'a>(&self, field: Field, present: impl Iterator<Item = &'a str> + Clone) -> Option<usize> {
        let position =
            |name: &str| present.clone().position(|column| column.trim().eq_ignore_ascii_case(name));
        match self.named(field) {
            Some(name) => position(name),
            None => field.names().iter().find_map(|name| position(name)),
        }
    }

    /// The field's name: its own, or the first of its usual ones.
    pub fn name(&self, field: Field) -> String {
        self.named(field).map_or_else(|| field.to_string(), Into::into)
    }

    /// The name that was given to the field.
    pub fn named(&self, field: Field) -> Option<&str> {
        self.named.iter().rev().find(|column| column.field == field).map(|column| column.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_found_by_its_own_name_or_a_usual_one() {
        let present = ["prompt", " Output ", "response", "frage"];
        let find = |columns: &Columns, field| columns.find(field, present.into_iter());
        let usual = Columns::default();
        assert_eq!(find(&usual, Field::Instruction), Some(0));
        assert_eq!(find(&usual, Field::Response), Some(2), "the first of the usual names");
        assert_eq!(find(&usual, Field::Input), None);
        let named =
            Columns { named: vec!["instruction=Frage".parse().unwrap(), "response=x".parse().unwrap()] };
        assert_eq!((find(&named, Field::Instruction), find(&named, Field::Response)), (Some(3), None));
    }

    #[test]
    fn what_names_no_field_is_refused() {
        for (text, reason) in [("question", "FIELD=COLUMN"), ("q=a", "`q`"), ("input=", "no name")] {
            let error = text.parse::<Column>().unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
