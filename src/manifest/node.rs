//! The file as a tree of values, each with its place: what TOML says before anything is typed.

use std::{collections::HashMap, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::At;

/// A value and its place in the file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// What it is.
    pub(super) value: Value,
    /// Where it stands.
    pub(super) span: Range<usize>,
}

/// What TOML can say.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// A string.
    String(String),
    /// An integer that fits.
    Integer(i64),
    /// `true` or `false`.
    Bool(bool),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order of the file.
    Table(Vec<(At<String>, Node)>),
    /// A float, as it is written.
    Float(String),
    /// A date, or an integer that does not fit.
    Other(&'static str),
}

impl Node {
    /// The tree of a parsed file.
    pub(super) fn of_table(table: &Spanned<DeTable<'_>>) -> Self {
        Self {
            value: entries(table.get_ref()),
            span: table.span(),
        }
    }

    fn of(value: &Spanned<DeValue<'_>>) -> Self {
        Self {
            value: match value.get_ref() {
                DeValue::String(text) => Value::String(text.clone().into_owned()),
                DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                    .map_or(Value::Other("an integer that is too large"), Value::Integer),
                DeValue::Float(number) => Value::Float(number.as_str().into()),
                DeValue::Boolean(truth) => Value::Bool(*truth),
                DeValue::Datetime(_) => Value::Other("a date"),
                DeValue::Array(list) => Value::List(list.iter().map(Self::of).collect()),
                DeValue::Table(table) => entries(table),
            },
            span: value.span(),
        }
    }

    /// A table's entries; none where it is no table.
    pub(super) fn entries(&self) -> &[(At<String>, Node)] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// A table's value of that name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.entries()
            .iter()
            .find(|(key, _)| key.value == name)
            .map(|(_, node)| node)
    }

    /// What it is, in words for the user.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Bool(_) => "a boolean",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
            Value::Float(_) => "a float",
            Value::Other(what) => what,
        }
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.value, Value::Table(_))
    }

    /// Lays another table over this one: tables merge key by key, everything else is replaced.
    pub(super) fn overlay(&mut self, over: &Self) {
        let (Value::Table(mine), Value::Table(theirs)) = (&mut self.value, &over.value) else {
            *self = over.clone();
            return;
        };
        // By index, not by search: a table may hold ten thousands of keys.
        let places: HashMap<_, _> = mine
            .iter()
            .enumerate()
            .map(|(place, (key, _))| (key.value.clone(), place))
            .collect();
        for (key, value) in theirs {
            match places.get(&key.value) {
                Some(&place) => mine[place].1.overlay(value),
                None => mine.push((key.clone(), value.clone())),
            }
        }
    }
}

fn entries(table: &DeTable<'_>) -> Value {
    let entries = table.iter().map(|(key, value)| {
        let key = At {
            value: key.get_ref().clone().into_owned(),
            span: key.span(),
        };
        (key, Node::of(value))
    });
    Value::Table(entries.collect())
}
