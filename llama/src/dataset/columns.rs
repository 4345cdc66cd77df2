//! The names of a file's columns.

use std::fmt;
use std::str::FromStr;

/// What a column contains.
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
    /// The field that the column holds.
    pub field: Field,
    /// The column's name in the file.
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
    /// Which of the columns `present` holds the field: the one with its name, in any case.
    ///
    /// # Errors
    /// If several columns match and, where a name was given, none is spelled exactly like it.
    pub fn find<'a>(
        &self,
        field: Field,
        present: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<Option<usize>, String> {
        let named = self.named(field);
        let is = |column: &str| match named {
            Some(name) => column.trim().eq_ignore_ascii_case(name),
            None => field.names().iter().any(|name| column.trim().eq_ignore_ascii_case(name)),
        };
        let found: Vec<(usize, &str)> = present.enumerate().filter(|(_, column)| is(column)).collect();
        let exact: Vec<_> = found.iter().filter(|(_, column)| named == Some(*column)).collect();
        match (found.as_slice(), exact.as_slice()) {
            ([], _) => Ok(None),
            ([(index, _)], _) | (_, [(index, _)]) => Ok(Some(*index)),
            // The category does not change what is learned, so the first usual name is taken.
            _ if field == Field::Category && named.is_none() => {
                let first =
                    |name: &&str| found.iter().find(|(_, column)| column.trim().eq_ignore_ascii_case(name));
                Ok(field.names().iter().find_map(first).map(|(index, _)| *index))
            }
            _ => {
                let names: Vec<String> = found
                    .iter()
                    .map(|(_, name)| format!("`{}`", name.replace(char::is_control, " ")))
                    .collect();
                let names = names.join(" and ");
                Err(format!(
                    "{names} could both be the {field}; rename one, or say which one it is with --columns {field}=…"
                ))
            }
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
        assert_eq!(find(&usual, Field::Instruction), Ok(Some(0)));
        let error = find(&usual, Field::Response).unwrap_err();
        assert!(error.contains("` Output ` and `response` could both be the response"), "{error}");
        assert!(error.contains("--columns response="), "{error}");
        assert_eq!(find(&usual, Field::Input), Ok(None));
        let named =
            Columns { named: vec!["instruction=Frage".parse().unwrap(), "response=x".parse().unwrap()] };
        assert_eq!(
            (find(&named, Field::Instruction), find(&named, Field::Response)),
            (Ok(Some(3)), Ok(None))
        );
        let output = Columns { named: vec!["response=output".parse().unwrap()] };
        assert_eq!(find(&output, Field::Response), Ok(Some(1)));
    }

    #[test]
    fn columns_that_differ_in_case_are_told_apart_by_their_exact_name() {
        let present = ["Response", "instruction", "response"];
        let find = |columns: &Columns| columns.find(Field::Response, present.into_iter());
        assert!(find(&Columns::default()).unwrap_err().contains("`Response` and `response`"));
        let named = |name: &str| Columns { named: vec![format!("response={name}").parse().unwrap()] };
        assert_eq!((find(&named("Response")), find(&named("response"))), (Ok(Some(0)), Ok(Some(2))));
        assert!(find(&named("RESPONSE")).is_err());
        let twice = ["response", "response"];
        assert!(named("response").find(Field::Response, twice.into_iter()).is_err());
    }

    #[test]
    fn what_names_no_field_is_refused() {
        for (text, reason) in [("question", "FIELD=COLUMN"), ("q=a", "`q`"), ("input=", "no name")] {
            let error = text.parse::<Column>().unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
