//! Reading one table: a value of the wrong type is a problem with its place, and the rest is still read.

use super::{
    At, Field, Problem,
    node::{Node, Value},
    scalars::{Wrong, expected, split_words, status, with_program, word},
};

/// One table being read.
pub(super) struct Table<'a> {
    pub(super) node: Option<&'a Node>,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl<'a> Table<'a> {
    /// A table of the file; one that is no table is a matter of `keys`.
    pub(super) fn of(root: &'a Node, name: Option<&str>, problems: &'a mut Vec<Problem>) -> Self {
        let node = name.map_or(Some(root), |name| root.child(name));
        Self { node, problems }
    }

    pub(super) fn take<T>(&mut self, key: &str, parse: impl Fn(&Node) -> Result<T, Wrong>) -> Field<T> {
        let node = self.node?.child(key)?;
        self.read(node, parse)
    }

    pub(super) fn read<T>(&mut self, node: &Node, parse: impl Fn(&Node) -> Result<T, Wrong>) -> Field<T> {
        match parse(node) {
            Ok(value) => Some(At::new(value, &node.span)),
            Err((message, help)) => {
                let mut problem = Problem::manifest(message, &node.span);
                problem.help = help;
                self.problems.push(problem);
                None
            }
        }
    }

    /// A list, item by item, so that every wrong item is told.
    pub(super) fn list<T>(&mut self, key: &str, parse: impl Fn(&Node) -> Result<T, Wrong>) -> Vec<At<T>> {
        let Some(node) = self.node.and_then(|node| node.child(key)) else {
            return Vec::new();
        };
        if let Value::List(items) = &node.value {
            return items.iter().filter_map(|item| self.read(item, &parse)).collect();
        }
        self.read(node, |node| Err::<T, _>(expected("a list", node)));
        Vec::new()
    }

    /// A list of words, or a string split by the rules of a POSIX shell; no shell ever runs.
    pub(super) fn command(&mut self, key: &str) -> Field<Vec<String>> {
        let node = self.node?.child(key)?;
        match &node.value {
            Value::List(items) => self.words(node, items),
            _ => self.read(node, split_words),
        }
    }

    /// A list of lists of words.
    pub(super) fn commands(&mut self, key: &str) -> Vec<At<Vec<String>>> {
        let Some(node) = self.node.and_then(|node| node.child(key)) else {
            return Vec::new();
        };
        let Value::List(commands) = &node.value else {
            self.read(node, |node| Err::<(), _>(expected("a list of lists of words", node)));
            return Vec::new();
        };
        let command = |node: &Node| match &node.value {
            Value::List(items) => self.words(node, items),
            _ => self.read(node, |node| {
                let (message, _) = expected("a list of words", node);
                Err((message, Some("like pre_start = [[\"./prepare\", \"--quick\"]]".into())))
            }),
        };
        commands.iter().filter_map(command).collect()
    }

    fn words(&mut self, node: &Node, items: &[Node]) -> Field<Vec<String>> {
        let read: Vec<_> = items.iter().map(|item| self.read(item, word)).collect();
        let words = read
            .into_iter()
            .map(|word| Some(word?.value))
            .collect::<Option<Vec<_>>>()?;
        self.read(node, |_| with_program(&words))
    }

    pub(super) fn statuses(&mut self, key: &str) -> Field<Vec<(u16, u16)>> {
        let node = self.node?.child(key)?;
        let ranges = self.list(key, status);
        if matches!(&node.value, Value::List(items) if items.is_empty()) {
            let help = "leave it out for [\"200-399\"]";
            return self.read(node, |_| {
                Err(("no status would ever be well".into(), Some(help.into())))
            });
        }
        Some(At::new(
            ranges.into_iter().map(|range| range.value).collect(),
            &node.span,
        ))
    }
}
